"""The only package that speaks to SpiceDB."""

from authzed.api.v1 import Consistency

from teamaccess.engine.bulk import MAX_IMPORT, ObjectFilter, StoredRelationship
from teamaccess.engine.client import (
    FULLY_CONSISTENT,
    MINIMIZE_LATENCY,
    Question,
    at_least_as_fresh,
    exact_snapshot,
)
from teamaccess.engine.engine import Engine
from teamaccess.engine.errors import (
    AlreadyThere,
    EngineRefused,
    EngineUnavailable,
    NotThere,
    SchemaMismatch,
)
from teamaccess.engine.sandbox import open_sandbox
from teamaccess.engine.watch import ObservedWrite, TooLarge
from teamaccess.engine.watch_message import Undecodable

__all__ = [
    "FULLY_CONSISTENT",
    "MAX_IMPORT",
    "MINIMIZE_LATENCY",
    "AlreadyThere",
    "Consistency",
    "Engine",
    "EngineRefused",
    "EngineUnavailable",
    "NotThere",
    "ObjectFilter",
    "ObservedWrite",
    "Question",
    "SchemaMismatch",
    "StoredRelationship",
    "TooLarge",
    "Undecodable",
    "at_least_as_fresh",
    "exact_snapshot",
    "open_sandbox",
]
