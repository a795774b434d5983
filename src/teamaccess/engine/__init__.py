"""The only room that speaks to SpiceDB."""

from teamaccess.engine.bulk import PAGE, Held, Objects
from teamaccess.engine.client import FULLY_CONSISTENT, Engine, Question, at_least
from teamaccess.engine.errors import AlreadyThere, EngineRefused, EngineUnavailable

__all__ = [
    "FULLY_CONSISTENT",
    "PAGE",
    "AlreadyThere",
    "Engine",
    "EngineRefused",
    "EngineUnavailable",
    "Held",
    "Objects",
    "Question",
    "at_least",
]
