"""Which updates of a ledger entry an event describes.

An entry is explained if the events of its transaction describe each of its updates, by their kind, their
subject and their details. An event about Bob's role does not explain an entry about Eve, and an event
about a role until March does not explain the same role without an end.
"""

from collections.abc import Callable, Sequence
from typing import Any

from teamaccess.ledger.chains.parts import DescribingEvent, Line, time_in_text
from teamaccess.storage import MAX_UPDATES

Rule = Callable[[DescribingEvent, Line], bool]


def explains(events: Sequence[DescribingEvent], updates: Sequence[object]) -> bool:
    """Return whether the events describe each update. They describe only what happens in their chain.

    The application writes no entry with more than MAX_UPDATES updates, so nothing explains a larger one.
    """
    if len(updates) > MAX_UPDATES:
        return False
    rules = [(rule, event) for event in events if (rule := RULES.get(event.kind)) is not None]
    lines = [Line.of(text) for text in updates]
    for line in lines:
        tenant = line.tenant
        for rule, event in rules:  # a loop, because this runs for every update of every ledger
            if tenant == event.organization and rule(event, line):
                break
        else:
            return False
    return all(_within_count(event, lines) for event in events if event.kind in COUNTED)


def _within_count(event: DescribingEvent, lines: Sequence[Line]) -> bool:
    """Return whether the entry changes at most as many things as the event counts.

    A change of several positions has one event for all of them, so each entry may change fewer.
    """
    match event.kind:
        case "administrator_granted":
            touched = (line for line in lines if line.touches and line.subject == event.subject)
            return sum(event.role_of(line) is not None for line in touched) <= 1
        case "members_imported":
            gates = [line.subject for line in lines if line.touches and event.is_gate(line)]
            roles = {line.subject for line in lines if line.touches and event.role_of(line)}
            return len(gates) <= event.count("members") and roles <= set(gates)
        case "drift_mended":
            restored = sum(line.verb == "RESTORE" for line in lines)
            purged = sum(line.verb == "PURGE" for line in lines)
            return restored <= event.count("restored") and purged <= event.count("purged")
        case "role_deleted":
            instead = event.details.get("instead")
            roles_given = ((line.subject, event.role_of(line)) for line in lines if line.touches)
            given = {each for each, role in roles_given if role is not None and role == instead}
            return len(given) <= event.count("members") + event.count("teams")
        case _:
            here = [line for line in lines if event.is_resource(line)]
            registered = {line.resource for line in here if line.touches}
            removed = {line.resource for line in here if line.deletes} - registered
            few = len(registered) <= event.count("registered")
            return few and len(removed) <= event.count("removed")


def _roles_replaced(holder: Callable[[DescribingEvent], str]) -> Rule:
    def rule(event: DescribingEvent, line: Line) -> bool:
        role = event.role_of(line)
        if role is None or line.subject != holder(event):
            return False
        if line.touches:
            return role in event.names("after") and line.until == event.end_of(role)
        return line.deletes and role in event.names("before") and role not in event.names("after")

    return rule


def _role_ended(holder: Callable[[DescribingEvent], str]) -> Rule:
    return lambda event, line: (
        line.deletes
        and line.subject == holder(event)
        and event.role_of(line) == event.details.get("role")
    )


def _user(event: DescribingEvent) -> str:
    return event.subject


def _team(event: DescribingEvent) -> str:
    return event.members_of(event.id)


def _membership_ended(event: DescribingEvent, line: Line) -> bool:
    return line.deletes and (line.subject == event.subject or line.is_invitation)


def _membership_end_changed(event: DescribingEvent, line: Line) -> bool:
    return (
        line.touches
        and event.is_gate(line)
        and line.subject == event.subject
        and line.until == event.end("after")
    )


def _suspended(event: DescribingEvent, line: Line) -> bool:
    return line.deletes and event.is_gate(line) and line.subject == event.subject


def _reactivated(event: DescribingEvent, line: Line) -> bool:
    """Events from before migration 0026 do not name the end of the membership."""
    gate = line.touches and event.is_gate(line) and line.subject == event.subject
    return gate and ("expires_at" not in event.details or line.until == event.end("expires_at"))


def _administrator(event: DescribingEvent, line: Line) -> bool:
    """An administrator, and one role of theirs, have no end."""
    if line.deletes:
        return line.is_invitation
    given = event.is_gate(line) or event.role_of(line) is not None
    of_user = line.subject == event.subject and line.subject.startswith("user:")
    return line.touches and given and of_user and line.until is None


def _imported(event: DescribingEvent, line: Line) -> bool:
    if line.deletes:
        return line.is_invitation
    given = event.is_gate(line) or event.role_of(line) is not None
    return line.touches and given and line.subject.startswith("user:") and line.until is None


def _invited(event: DescribingEvent, line: Line) -> bool:
    """An expired invitation to the same address ends."""
    if line.deletes:
        return line.is_invitation
    return (
        line.touches
        and line.is_invitation
        and line.resource == f"invitation:{event.organization}/{event.id}"
        and line.until is not None
        and line.until == event.end("expires_at")
    )


def _invitation_ended(event: DescribingEvent, line: Line) -> bool:
    own = line.resource == f"invitation:{event.organization}/{event.id}"
    return line.deletes and line.is_invitation and own


def _accepted(event: DescribingEvent, line: Line) -> bool:
    if line.deletes:
        return line.is_invitation
    given = event.is_gate(line) or event.role_of(line) in event.names("roles")
    user = f"user:{event.details.get('user')}"
    return line.touches and given and line.subject == user and line.until is None


def _approved(event: DescribingEvent, line: Line) -> bool:
    """Roles that have ended, and that the sweeper has not ended yet, end with the approval."""
    if line.subject != f"user:{event.details.get('user')}":
        return False
    if line.deletes:
        return event.role_of(line) is not None and line.until is not None
    right_role = event.role_of(line) == event.details.get("role")
    ends = line.until is not None and line.until == event.end("until")
    return line.touches and right_role and ends


def _is_action(event: DescribingEvent, line: Line, actions: Sequence[Any]) -> bool:
    return (
        line.resource == f"organization:{event.organization}"
        and line.subject == f"role:{event.organization}/{event.id}#member"
        and line.relation.startswith("granted_")
        and line.relation.removeprefix("granted_") in actions
    )


def _role_created(event: DescribingEvent, line: Line) -> bool:
    return line.touches and _is_action(event, line, event.names("actions"))


def _role_changed(event: DescribingEvent, line: Line) -> bool:
    field = "added" if line.touches else "removed"
    return (line.touches or line.deletes) and _is_action(event, line, event.names(field))


def _role_deleted(event: DescribingEvent, line: Line) -> bool:
    role = event.role_of(line)
    if line.touches:
        return role is not None and role == event.details.get("instead")
    ended = role == event.id or line.is_invitation
    return line.deletes and (ended or _is_action(event, line, event.names("actions")))


def _team_deleted(event: DescribingEvent, line: Line) -> bool:
    of_team = event.is_team(line, event.id) or line.subject == event.members_of(event.id)
    return line.deletes and of_team


def _place_given(event: DescribingEvent, line: Line) -> bool:
    place = event.is_team(line, event.details.get("team")) and line.subject == event.subject
    return line.touches and place and line.until == event.end("expires_at")


def _place_ended(event: DescribingEvent, line: Line) -> bool:
    place = event.is_team(line, event.details.get("team"))
    return line.deletes and place and line.subject == event.subject


def _registered(event: DescribingEvent, line: Line) -> bool:
    meant = {
        "organization": f"organization:{event.organization}",
        "creator": f"user:{event.details.get('creator')}",
    }
    own = line.resource == event.subject and line.subject == meant.get(line.relation)
    return line.touches and own and line.until is None


def _removed(event: DescribingEvent, line: Line) -> bool:
    return line.deletes and line.resource == event.subject


def _resources_changed(event: DescribingEvent, line: Line) -> bool:
    here = line.relation == "organization" and line.subject == f"organization:{event.organization}"
    registers = line.touches and (here or line.relation == "creator")
    return event.is_resource(line) and (registers or line.deletes)


def _grants_changed(event: DescribingEvent, line: Line) -> bool:
    if line.resource != event.subject or not line.relation.startswith("granted_"):
        return False
    held = f"{line.relation.removeprefix('granted_')} {_holder(event, line)}"
    if line.deletes:
        return any(str(each).partition(" until ")[0] == held for each in event.names("before"))
    for each in event.names("after"):
        grant, has_end, end = str(each).partition(" until ")
        if grant == held and line.until == (time_in_text(end) if has_end else None):
            return line.touches
    return False


def _grant_ended(event: DescribingEvent, line: Line) -> bool:
    return (
        line.deletes
        and line.resource == event.subject
        and line.relation == f"granted_{event.details.get('action')}"
        and _holder(event, line) == event.details.get("holder")
    )


def _holder(event: DescribingEvent, line: Line) -> str:
    """Return the holder of a grant as the events name it: a team by its id in the organization."""
    team = line.subject.removeprefix(f"team:{event.organization}/")
    return line.subject if team == line.subject else f"team:{team.removesuffix('#member')}"


def _account_created(event: DescribingEvent, line: Line) -> bool:
    if not line.touches or line.subject != event.subject:
        return False
    if event.is_gate(line):
        return line.until is None
    role = event.role_of(line)
    return role is not None and role in event.names("roles") and line.until == event.end_of(role)


def _organization_created(event: DescribingEvent, line: Line) -> bool:
    """A new organization begins its chain with this event."""
    if event.position != 1:
        return False
    given = event.is_gate(line) or event.role_of(line) is not None
    return line.touches and given and line.subject == event.actor and line.until is None


def _deleted(event: DescribingEvent, line: Line) -> bool:
    """Everything in an organization ends with it. A deleted organization stays deleted."""
    return line.deletes and event.ended


def _mended(_: DescribingEvent, line: Line) -> bool:
    return line.verb in ("RESTORE", "PURGE")


COUNTED = (
    "administrator_granted",
    "members_imported",
    "resources_changed",
    "drift_mended",
    "role_deleted",
)
"""Kinds whose details do not name each thing that changed, so an entry may change only so many."""
RULES: dict[str, Rule] = {
    "organization_created": _organization_created,
    "organization_deleted": _deleted,
    "drift_mended": _mended,
    "administrator_granted": _administrator,
    "members_imported": _imported,
    "roles_changed": _roles_replaced(_user),
    "role_ended": _role_ended(_user),
    "membership_end_changed": _membership_end_changed,
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
