"""All operations and their answers: the promises that must be kept in the end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self

import httpx

from teamaccess.storage import OrganizationId

UNKNOWN = "outcome_unknown"


@dataclass(frozen=True)
class Answer:
    """The answer to one attempt. Without a status, there was no answer."""

    api: str
    asked_at: datetime
    answered_at: datetime
    status: int | None = None
    code: str = ""
    request: str | None = None
    """The id under which the ledger and the events know the request."""
    positions: Mapping[str, int] = field(default_factory=dict)
    """How far the ledgers had come, by organization."""
    zed_token: str | None = None
    body: str = ""

    @classmethod
    def of(cls, api: str, asked_at: datetime, response: httpx.Response) -> Self:
        """Read a response."""
        reported = response.headers.get("Teamaccess-Change", "")
        places = [each.rpartition(":") for each in reported.split(", ") if each]
        failed = response.is_error and "json" in response.headers.get("Content-Type", "")
        return cls(
            api,
            asked_at,
            datetime.now(UTC),
            response.status_code,
            response.json()["code"] if failed else "",
            response.headers.get("x-request-id"),
            {organization: int(position) for organization, _, position in places},
            response.headers.get("Zed-Token"),
            response.text,
        )

    @property
    def done(self) -> bool:
        """Whether the answer says that the change was made."""
        return self.status is not None and self.status < 300

    @property
    def unknown(self) -> bool:
        """Whether the outcome of the request is unknown."""
        return self.status is None or self.code == UNKNOWN

    @property
    def failed(self) -> bool:
        """Whether the answer says that a part is unavailable and nothing was changed."""
        return self.status is not None and self.status >= 500 and not self.unknown


@dataclass
class Operation:
    """An operation of a client, with all its answers."""

    verb: str
    organization: OrganizationId
    present: frozenset[str] = frozenset()
    """What SpiceDB contains once it is done: relationships, or objects that have any."""
    absent: frozenset[str] = frozenset()
    """What SpiceDB does not contain once it is done."""
    removed: str | None = None
    """The user who is not a member once it is done."""
    answers: list[Answer] = field(default_factory=list)
    allowed_after: bool | None = None
    """The answer to a check of the removed user, right after the operation and at its token."""

    @property
    def last(self) -> Answer:
        """The answer that counts."""
        return self.answers[-1]

    @property
    def acknowledged(self) -> bool:
        """Whether it was promised."""
        return bool(self.answers) and self.last.done

    @property
    def unknown(self) -> bool:
        """Whether the operation may have been done although no answer said so."""
        return not self.acknowledged and any(each.unknown for each in self.answers)

    def __str__(self) -> str:
        outcomes = [f"{each.status or 'nothing'} {each.code}".strip() for each in self.answers]
        return (
            f"{self.verb} in {self.organization} {dict(self.last.positions)}: {', '.join(outcomes)}"
        )


@dataclass
class OperationLog:
    """All operations, in the order in which they began."""

    operations: list[Operation] = field(default_factory=list)

    @property
    def acknowledged(self) -> list[Operation]:
        """The acknowledged operations."""
        return [operation for operation in self.operations if operation.acknowledged]
