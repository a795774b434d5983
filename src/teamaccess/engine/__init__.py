"""The only room that speaks to SpiceDB."""

from authzed.api.v1 import Consistency

from teamaccess.engine.bulk import IMPORT, Objects, StoredRelationship
from teamaccess.engine.client import Engine, Question
from teamaccess.engine.convert import (
    FULLY_CONSISTENT,
    MINIMIZE_LATENCY,
    at_least,
    exact_snapshot,
)
from teamaccess.engine.errors import (
    AlreadyThere,
    EngineRefused,
    EngineUnavailable,
    SchemaMismatch,
)
from teamaccess.engine.sandbox import sandbox
from teamaccess.engine.watch import Observed, TooLarge

__all__ = [
    "FULLY_CONSISTENT",
    "IMPORT",
    "MINIMIZE_LATENCY",
    "AlreadyThere",
    "Consistency",
    "Engine",
    "EngineRefused",
    "EngineUnavailable",
    "Objects",
    "Observed",
    "Question",
    "SchemaMismatch",
    "StoredRelationship",
    "TooLarge",
    "at_least",
    "exact_snapshot",
    "sandbox",
]
