"""The product's refusals: one class a situation, its docstring the sentence a person reads.

The families below say what kind of situation it is; an edge turns a family into its own answer
(HTTP a status, the command line an exit code) and never looks at single classes.
"""

import re
from typing import Any, ClassVar

from teamaccess.common.excerpts import LONGEST_QUOTE, MOST_LISTED, cut_to_limits


class TeamaccessError(Exception):
    """Something that a person or a program asked for cannot be done, and why."""

    retry_after: int | None = None
    """Seconds after which asking again may help, where it may."""

    most_listed: ClassVar[int] = MOST_LISTED
    """Entries that are kept of a fact that is a list; `{name}_left_out` says how many are not."""

    longest_quote: ClassVar[int] = LONGEST_QUOTE
    """Characters that are kept of a fact; more where it comes from this machine and not from a caller."""

    def __init__(self, **facts: Any) -> None:
        # SECURITY: facts quote what was sent, so each is cut here, where every refusal passes. What an
        # answer, an event or the log keeps of a refusal has a fixed size whatever was refused.
        self.facts: dict[str, Any] = {}  # plain; a sentence that quotes one says so: {name!r}
        for name, fact in facts.items():
            self.facts[name] = cut_to_limits(fact, self.most_listed, self.longest_quote)
            if isinstance(fact, list) and len(fact) > self.most_listed:
                self.facts[f"{name}_left_out"] = len(fact) - self.most_listed
        super().__init__(self.detail)

    @property
    def code(self) -> str:
        """The stable name of the situation, such as `last_administrator`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()

    @property
    def detail(self) -> str:
        """The sentence, with the facts of this case filled in."""
        spoken = {
            name: self._listed(name, fact) if isinstance(fact, list) else fact
            for name, fact in self.facts.items()
        }
        return " ".join((type(self).__doc__ or "").split()).format(**spoken)

    def _listed(self, name: str, fact: list[Any]) -> str:
        told, left_out = ", ".join(map(str, fact)), self.facts.get(f"{name}_left_out")
        return f"{told} and {left_out} more" if left_out else told


class Invalid(TeamaccessError):
    """What was sent does not make sense."""


class Unauthenticated(TeamaccessError):
    """Nobody knows who is asking."""


class Forbidden(TeamaccessError):
    """Who is asking may not do this."""


class NotFound(TeamaccessError):
    """There is no such thing, or it is not theirs to know of."""


class Conflict(TeamaccessError):
    """The rules of the domain, or the present state, do not allow this."""


class PreconditionFailed(TeamaccessError):
    """The thing has changed since it was read."""


class TooMany(TeamaccessError):
    """Asked too often."""


class Unavailable(TeamaccessError):
    """A part that decides does not answer; nothing is allowed without it."""

    retry_after = 2
