"""The product's refusals: one class for each situation, with the message that people read.

A class belongs to one of the families below. An edge turns a family into its own answer (HTTP a status,
the command line an exit code) and never looks at single classes.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from teamaccess.common.sentences.excerpts import LONGEST_QUOTE, MOST_LISTED, cut_to_limits
from teamaccess.common.sentences.plurals import SentenceFormatter

SENTENCES = SentenceFormatter()
ITEM = "item"
"""The fact that names the item of a request with many, counted from 1."""


class TeamaccessError(Exception):
    """A request that is refused. The docstring of each class says when, and what helps."""

    message: ClassVar[str] = "This can't be done."
    """What people read: the cause, then the way out. `{name}` stands for the fact of that name,
    and `{open:open request}` for a number with its noun, in the plural unless the number is one."""

    code: ClassVar[str] = "teamaccess_error"
    """The stable name of the situation, such as `last_administrator`.

    It is the class's name in snake case, unless the class sets another one.
    """

    retry_after: int | None = None
    """Seconds after which a repetition may succeed; None where it cannot."""

    most_listed: ClassVar[int] = MOST_LISTED
    """Entries that are kept of a fact that is a list. `{name}_left_out` counts the others."""

    longest_quote: ClassVar[int] = LONGEST_QUOTE
    """Characters that are kept of a fact. Facts of this machine, which no caller sent, may be longer."""

    def __init_subclass__(cls) -> None:
        if "code" not in vars(cls):
            cls.code = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    def __init__(self, **facts: Any) -> None:
        # SECURITY: facts quote the request, so every refusal cuts them here. Answers, events and logs
        # then have a fixed size, whatever was sent.
        self.facts: dict[str, Any] = {}  # plain; a message that quotes one writes {name!r}
        for name, fact in facts.items():
            self.facts[name] = cut_to_limits(fact, self.most_listed, self.longest_quote)
            if isinstance(fact, list) and len(fact) > self.most_listed:
                self.facts[f"{name}_left_out"] = len(fact) - self.most_listed
        super().__init__(self.detail)

    @property
    def detail(self) -> str:
        """The message with the facts of this case."""
        written = {
            name: self._listed(name, fact) if isinstance(fact, list) else fact
            for name, fact in self.facts.items()
        }
        sentence = SENTENCES.format(self.message, **written)
        return f"Item {self.facts[ITEM]}: {sentence}" if ITEM in self.facts else sentence

    def _listed(self, name: str, fact: list[Any]) -> str:
        listed, left_out = ", ".join(map(str, fact)), self.facts.get(f"{name}_left_out")
        return f"{listed} and {left_out} more" if left_out else listed


@contextmanager
def naming_item(number: int) -> Iterator[None]:
    """Name the item of a request, counted from 1, in every refusal inside the block."""
    try:
        yield
    except TeamaccessError as refusal:
        refusal.facts.setdefault(ITEM, number)
        raise


class Invalid(TeamaccessError):
    """A request that could not succeed in any state. Correct it."""

    message = "The request is not valid."


class Unauthenticated(TeamaccessError):
    """The caller's identity is not proven. Sign in, or get a new token."""

    message = "You are not signed in."


class Forbidden(TeamaccessError):
    """The caller may not do this. Somebody with more access may."""

    message = "You may not do this."


class NotFound(TeamaccessError):
    """The thing does not exist, or belongs to a tenant that the caller cannot see."""

    message = "Not found."


class Conflict(TeamaccessError):
    """A rule of the domain, or the current state, does not allow this."""

    message = "The current state does not allow this."


class PreconditionFailed(TeamaccessError):
    """The thing has changed since the caller read it. Read it again, and decide again."""

    message = "This has changed since you read it. Read it again."


class TooMany(TeamaccessError):
    """The caller exceeds a limit on how often or how much. Wait."""

    message = "You have sent too many requests. Try again later."


class Unavailable(TeamaccessError):
    """A component that is needed for the decision does not answer. Without it, nothing is allowed."""

    message = "The service is not available. Try again shortly."
    retry_after = 2
