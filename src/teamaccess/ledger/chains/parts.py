"""Updates of a ledger entry and events about it, in the parts that explanations compare."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from teamaccess.relationships import EXPIRATION_PREFIX
from teamaccess.relationships.relationship import WAS

DECODE = msgspec.json.Decoder().decode


class Line(NamedTuple):
    """One update of an entry, in its parts."""

    verb: str
    resource: str
    relation: str
    subject: str
    until: datetime | None

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
    def is_invitation(self) -> bool:
        """Whether it is about an invitation."""
        return self.resource.startswith("invitation:") and self.relation == "invitee"


class DescribingEvent:
    """An event as an explanation of the updates of its organization."""

    def __init__(
        self, organization: str, actor: str, kind: str, subject: str, details: str
    ) -> None:
        self.organization, self.actor = organization, actor
        self.kind, self.subject = kind, subject
        self._text = details
        self._details: dict[str, Any] | None = None

    @property
    def details(self) -> dict[str, Any]:
        """The details of the event."""
        if self._details is None:
            found = DECODE(self._text)
            self._details = found if isinstance(found, dict) else {}
        return self._details

    @property
    def id(self) -> str:
        """The id of the subject, without its type."""
        return self.subject.partition(":")[2]

    def names(self, field: str) -> Sequence[Any]:
        """Return a list of the details; an empty one if it is missing."""
        found = self.details.get(field)
        return found if isinstance(found, list) else ()

    def end(self, field: str) -> datetime | None:
        """Return a time of the details."""
        return time_in_text(self.details.get(field))

    def end_of(self, role: str) -> datetime | None:
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

    def is_team(self, line: Line, team: Any) -> bool:
        """Return whether the update is about a place in the team."""
        return line.relation == "member" and line.resource == f"team:{self.organization}/{team}"

    def members_of(self, team: Any) -> str:
        """Return the subject that stands for all members of the team."""
        return f"team:{self.organization}/{team}#member"


def time_in_text(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
