"""The only room that speaks to SpiceDB."""

from teamaccess.engine.client import FULLY_CONSISTENT, Engine, at_least
from teamaccess.engine.errors import AlreadyThere, EngineRefused, EngineUnavailable

__all__ = [
    "FULLY_CONSISTENT",
    "AlreadyThere",
    "Engine",
    "EngineRefused",
    "EngineUnavailable",
    "at_least",
]
