"""Which updates of a ledger entry an event describes.

An entry is explained if the events of its transaction describe each of its updates, by their kind, their
subject and their details. An event about Bob's role does not explain an entry about Eve, and an event
about a role until March does not explain the same role without an end.
"""

from collections.abc import Callable, Iterable, Sequence
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
        if not isinstance(text, str):  # NULL or a nested array, written without the constraint
            return cls("", "", "", "", None)
        verb, _, rest = text.partition(" ")
        identity, has_end, end = rest.partition(WAS)[0].partition(EXPIRATION_PREFIX)
        resource, _, relation_and_subject = identity.partition("#")
        relation, _, subject = relation_and_subject.partition("@")
        until = _time(end.removesuffix("]")) if has_end else None
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


class ExplainingEvent:
    """An event that may explain updates of its organization."""

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
        return _time(self.details.get(field))

    def end_of(self, role: str) -> datetime | None:
        """Return the end of a role, None for a role without one."""
        ends = self.details.get("ends")
        return _time(ends.get(role)) if isinstance(ends, dict) else None

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


Rule = Callable[[ExplainingEvent, Line], bool]


def explains(events: Sequence[ExplainingEvent], updates: Iterable[object]) -> bool:
    """Return whether the events describe each update."""
    rules = [(rule, event) for event in events if (rule := RULES.get(event.kind)) is not None]
    lines = [Line.of(text) for text in updates]
    for line in lines:
        for rule, event in rules:  # a loop, because this runs for every update of every ledger
            if rule(event, line):
                break
        else:
            return False
    return all(_within_count(event, lines) for event in events if event.kind in COUNTED)


def _within_count(event: ExplainingEvent, lines: Sequence[Line]) -> bool:
    """Return whether the entry changes no more things than the event counts."""
    gates = [line.subject for line in lines if line.touches and event.is_gate(line)]
    roles = {line.subject for line in lines if line.touches and event.role_of(line) is not None}
    registered = [line for line in lines if line.touches and line.relation == "organization"]
    removed = [line for line in lines if line.deletes and line.relation == "organization"]
    if event.kind == "members_imported":
        return len(gates) <= _count(event, "members") and roles <= set(gates)
    return len(registered) <= _count(event, "registered") and len(removed) <= _count(
        event, "removed"
    )


def _count(event: ExplainingEvent, field: str) -> int:
    found = event.details.get(field)
    return found if isinstance(found, int) else 0


def _time(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _roles_replaced(holder: Callable[[ExplainingEvent], str]) -> Rule:
    def rule(event: ExplainingEvent, line: Line) -> bool:
        role = event.role_of(line)
        if role is None or line.subject != holder(event):
            return False
        if line.touches:
            return role in event.names("after") and line.until == event.end_of(role)
        return line.deletes and role in event.names("before") and role not in event.names("after")

    return rule


def _role_ended(holder: Callable[[ExplainingEvent], str]) -> Rule:
    return lambda event, line: (
        line.deletes
        and line.subject == holder(event)
        and event.role_of(line) == event.details.get("role")
    )


def _user(event: ExplainingEvent) -> str:
    return event.subject


def _team(event: ExplainingEvent) -> str:
    return event.members_of(event.id)


def _membership_ended(event: ExplainingEvent, line: Line) -> bool:
    return line.deletes and (line.subject == event.subject or line.is_invitation)


def _membership_end(event: ExplainingEvent, line: Line) -> bool:
    return (
        line.touches
        and event.is_gate(line)
        and line.subject == event.subject
        and line.until == event.end("after")
    )


def _suspended(event: ExplainingEvent, line: Line) -> bool:
    return line.deletes and event.is_gate(line) and line.subject == event.subject


def _reactivated(event: ExplainingEvent, line: Line) -> bool:
    return line.touches and event.is_gate(line) and line.subject == event.subject


def _administrator(event: ExplainingEvent, line: Line) -> bool:
    """The membership of a new administrator, and their role, have no end."""
    if line.deletes:
        return line.is_invitation
    given = event.is_gate(line) or event.role_of(line) is not None
    return line.touches and given and line.subject == event.subject and line.until is None


def _imported(event: ExplainingEvent, line: Line) -> bool:
    if line.deletes:
        return line.is_invitation
    given = event.is_gate(line) or event.role_of(line) is not None
    return line.touches and given and line.subject.startswith("user:") and line.until is None


def _invited(event: ExplainingEvent, line: Line) -> bool:
    """The invitation also ends an expired one to the same address."""
    if line.deletes:
        return line.is_invitation
    return (
        line.touches
        and line.is_invitation
        and line.resource == f"invitation:{event.organization}/{event.id}"
        and line.until == event.end("expires_at")
    )


def _invitation_ended(event: ExplainingEvent, line: Line) -> bool:
    own = line.resource == f"invitation:{event.organization}/{event.id}"
    return line.deletes and line.is_invitation and own


def _accepted(event: ExplainingEvent, line: Line) -> bool:
    if line.deletes:
        return line.is_invitation
    given = event.is_gate(line) or event.role_of(line) in event.names("roles")
    user = f"user:{event.details.get('user')}"
    return line.touches and given and line.subject == user and line.until is None


def _approved(event: ExplainingEvent, line: Line) -> bool:
    """The approval also deletes expired roles that the sweeper has not ended yet."""
    if line.subject != f"user:{event.details.get('user')}":
        return False
    if line.deletes:
        return event.role_of(line) is not None and line.until is not None
    right_role = event.role_of(line) == event.details.get("role")
    return line.touches and right_role and line.until == event.end("until")


def _is_action(event: ExplainingEvent, line: Line, actions: Sequence[Any]) -> bool:
    return (
        line.resource == f"organization:{event.organization}"
        and line.subject == f"role:{event.organization}/{event.id}#member"
        and line.relation.startswith("granted_")
        and line.relation.removeprefix("granted_") in actions
    )


def _role_created(event: ExplainingEvent, line: Line) -> bool:
    return line.touches and _is_action(event, line, event.names("actions"))


def _role_changed(event: ExplainingEvent, line: Line) -> bool:
    field = "added" if line.touches else "removed"
    return (line.touches or line.deletes) and _is_action(event, line, event.names(field))


def _role_deleted(event: ExplainingEvent, line: Line) -> bool:
    role = event.role_of(line)
    if line.touches:
        return role is not None and role == event.details.get("instead")
    ended = role == event.id or line.is_invitation
    return line.deletes and (ended or _is_action(event, line, event.names("actions")))


def _team_deleted(event: ExplainingEvent, line: Line) -> bool:
    of_team = event.is_team(line, event.id) or line.subject == event.members_of(event.id)
    return line.deletes and of_team


def _place_given(event: ExplainingEvent, line: Line) -> bool:
    place = event.is_team(line, event.details.get("team")) and line.subject == event.subject
    return line.touches and place and line.until == event.end("expires_at")


def _place_ended(event: ExplainingEvent, line: Line) -> bool:
    place = event.is_team(line, event.details.get("team"))
    return line.deletes and place and line.subject == event.subject


def _registered(event: ExplainingEvent, line: Line) -> bool:
    meant = {
        "organization": f"organization:{event.organization}",
        "creator": f"user:{event.details.get('creator')}",
    }
    own = line.resource == event.subject and line.subject == meant.get(line.relation)
    return line.touches and own and line.until is None


def _removed(event: ExplainingEvent, line: Line) -> bool:
    return line.deletes and line.resource == event.subject


def _resources_changed(event: ExplainingEvent, line: Line) -> bool:
    type, _, id = line.resource.partition(":")
    local = id.startswith(f"{event.organization}/") and type not in ("role", "team", "invitation")
    registers = line.touches and line.relation in ("organization", "creator")
    return local and (registers or line.deletes)


def _grants_changed(event: ExplainingEvent, line: Line) -> bool:
    if line.resource != event.subject or not line.relation.startswith("granted_"):
        return False
    held = f"{line.relation.removeprefix('granted_')} {_holder(event, line)}"
    if line.deletes:
        return any(str(each).partition(" until ")[0] == held for each in event.names("before"))
    for each in event.names("after"):
        grant, has_end, end = str(each).partition(" until ")
        if grant == held and line.until == (_time(end) if has_end else None):
            return line.touches
    return False


def _grant_ended(event: ExplainingEvent, line: Line) -> bool:
    return (
        line.deletes
        and line.resource == event.subject
        and line.relation == f"granted_{event.details.get('action')}"
        and _holder(event, line) == event.details.get("holder")
    )


def _holder(event: ExplainingEvent, line: Line) -> str:
    """Return the holder of a grant as the events name it: a team by its id in the organization."""
    team = line.subject.removeprefix(f"team:{event.organization}/")
    return line.subject if team == line.subject else f"team:{team.removesuffix('#member')}"


def _account_created(event: ExplainingEvent, line: Line) -> bool:
    if not line.touches or line.subject != event.subject:
        return False
    if event.is_gate(line):
        return line.until is None
    role = event.role_of(line)
    return role is not None and role in event.names("roles") and line.until == event.end_of(role)


def _organization_created(event: ExplainingEvent, line: Line) -> bool:
    given = event.is_gate(line) or event.role_of(line) is not None
    return line.touches and given and line.subject == event.actor and line.until is None


def _deleted(_: ExplainingEvent, line: Line) -> bool:
    return line.deletes


def _mended(_: ExplainingEvent, line: Line) -> bool:
    return line.verb in ("RESTORE", "PURGE")


COUNTED = ("members_imported", "resources_changed")
"""Kinds whose details do not name what changed, only how many."""
RULES: dict[str, Rule] = {
    "organization_created": _organization_created,
    "organization_deleted": _deleted,
    "drift_mended": _mended,
    "administrator_granted": _administrator,
    "members_imported": _imported,
    "roles_changed": _roles_replaced(_user),
    "role_ended": _role_ended(_user),
    "membership_end_changed": _membership_end,
    "membership_ended": _membership_ended,
    "member_suspended": _suspended,
    "member_reactivated": _reactivated,
    "member_removed": _membership_ended,
    "member_left": _membership_ended,
    "service_account_deleted": _membership_ended,
    "member_invited": _invited,
    "invitation_resent": _invited,
    "invitation_cancelled": _invitation_ended,
    "invitation_expired": _invitation_ended,
    "invitation_accepted": _accepted,
    "access_approved": _approved,
    "role_created": _role_created,
    "role_changed": _role_changed,
    "role_deleted": _role_deleted,
    "team_roles_changed": _roles_replaced(_team),
    "team_role_ended": _role_ended(_team),
    "team_deleted": _team_deleted,
    "team_member_added": _place_given,
    "team_member_changed": _place_given,
    "team_member_removed": _place_ended,
    "team_left": _place_ended,
    "team_place_ended": _place_ended,
    "resource_registered": _registered,
    "resource_removed": _removed,
    "resources_changed": _resources_changed,
    "grants_changed": _grants_changed,
    "grant_ended": _grant_ended,
    "service_account_created": _account_created,
}
"""The kinds of events that change access. Any other event explains no update."""
