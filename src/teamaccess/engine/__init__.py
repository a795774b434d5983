"""The only room that speaks to SpiceDB."""

from teamaccess.engine.client import FULLY_CONSISTENT, Engine, Question, at_least
from teamaccess.engine.errors import AlreadyThere, EngineRefused, EngineUnavailable

__all__ = [
    "FULLY_CONSISTENT",
    "AlreadyThere",
    "Engine",
    "EngineRefused",
    "EngineUnavailable",
    "Question",
    "at_least",
]
