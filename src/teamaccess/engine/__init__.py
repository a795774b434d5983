"""The only room that speaks to SpiceDB."""

from teamaccess.engine.client import FULLY_CONSISTENT, Engine, Question, at_least
from teamaccess.engine.errors import AlreadyThere, EngineRefused, EngineUnavailable
from teamaccess.engine.watch import Observed

__all__ = [
    "FULLY_CONSISTENT",
    "AlreadyThere",
    "Engine",
    "EngineRefused",
    "EngineUnavailable",
    "Observed",
    "Question",
    "at_least",
]
