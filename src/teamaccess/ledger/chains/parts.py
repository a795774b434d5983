"""Updates of a ledger entry and events about it, in the parts that explanations compare."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from teamaccess.relationships import EXPIRATION_PREFIX
from teamaccess.relationships.relationship import WAS

NO_TIME = float("nan")
"""Stands for a text that is not a time. It equals nothing, not even itself, so no event describes it."""
DECODE = msgspec.json.Decoder().decode


class UnreadableDetails(ValueError):
    """The details of an event are JSON that Python refuses: too deep, or with too long a number."""


class Line(NamedTuple):
    """One update of an entry, in its parts."""

    verb: str
    resource: str
    relation: str
    subject: str
    until: Any
    """The end, None for a relationship without one."""

    @classmethod
    def of(cls, text: object) -> "Line":
        """Read an update. A value that is not an update has parts that no event describes."""
        if not isinstance(text, str):  # NULL or another dimension, past the constraint
            return cls("", "", "", "", None)
        verb, _, rest = text.partition(" ")
        identity, has_end, end = rest.partition(WAS)[0].partition(EXPIRATION_PREFIX)
        resource, _, relation_and_subject = identity.partition("#")
        relation, _, subject = relation_and_subject.partition("@")
        until = time_in_text(end.removesuffix("]")) if has_end else None
        return cls(verb, resource, relation, subject, until)

    @property
    def touches(self) -> bool:
        """Whether the update gives a relationship."""
        return self.verb == "TOUCH"

    @property
    def deletes(self) -> bool:
        """Whether the update takes a relationship away."""
        return self.verb == "DELETE"

    @property
    def tenant(self) -> str:
        """The organization that the update is about."""
        return self.resource.partition(":")[2].partition("/")[0]

    @property
    def is_invitation(self) -> bool:
        """Whether it is about an invitation."""
        return self.resource.startswith("invitation:") and self.relation == "invitee"


class DescribingEvent:
    """An event as an explanation of the updates of its organization."""

    def __init__(
        self,
        organization: str,
        ended: bool,
        actor: str,
        kind: str,
        subject: str,
        details: str,
        position: int | str,
    ) -> None:
        self.organization, self.ended, self.actor = organization, ended, actor
        self.kind, self.subject, self.position = kind, subject, int(position)
        self._text = details
        self._details: dict[str, Any] | None = None

    @property
    def details(self) -> dict[str, Any]:
        """The details of the event. Raises UnreadableDetails."""
        if self._details is None:
            try:
                found = DECODE(self._text)
            except (ValueError, RecursionError) as unreadable:
                raise UnreadableDetails from unreadable
            self._details = found if isinstance(found, dict) else {}
        return self._details

    def count(self, field: str) -> int:
        """Return a number of the details, 0 if it is missing or not an integer."""
        found = self.details.get(field)
        return found if type(found) is int else 0

    @property
    def id(self) -> str:
        """The id of the subject, without its type."""
        return self.subject.partition(":")[2]

    def names(self, field: str) -> Sequence[Any]:
        """Return a list of the details; an empty one if it is missing."""
        found = self.details.get(field)
        return found if isinstance(found, list) else ()

    def end(self, field: str) -> Any:
        """Return a time of the details."""
        return time_in_text(self.details.get(field))

    def end_of(self, role: str) -> Any:
        """Return the end of a role, None for a role without one."""
        ends = self.details.get("ends")
        return time_in_text(ends.get(role)) if isinstance(ends, dict) else None

    def role_of(self, line: Line) -> str | None:
        """Return the role that the update gives or takes away, None if it is about something else."""
        if line.resource == f"organization:{self.organization}":
            is_role = line.relation != "member" and not line.relation.startswith("granted_")
            return line.relation if is_role else None
        of_role, _, role = line.resource.partition("/")
        custom = of_role == f"role:{self.organization}" and line.relation == "member"
        return role if custom else None

    def is_gate(self, line: Line) -> bool:
        """Return whether the update is about a membership of the organization."""
        return line.relation == "member" and line.resource == f"organization:{self.organization}"

    def is_resource(self, line: Line) -> bool:
        """Return whether the update is about a resource of the organization."""
        type, _, id = line.resource.partition(":")
        return id.startswith(f"{self.organization}/") and type not in ("role", "team", "invitation")

    def is_team(self, line: Line, team: Any) -> bool:
        """Return whether the update is about a place in the team."""
        return line.relation == "member" and line.resource == f"team:{self.organization}/{team}"

    def members_of(self, team: Any) -> str:
        """Return the subject that stands for all members of the team."""
        return f"team:{self.organization}/{team}#member"


def time_in_text(text: Any) -> Any:
    """Return the time, None if there is none, and NO_TIME for anything else."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError, OverflowError):
        return NO_TIME
