"""Which updates of a ledger entry an event describes.

An entry is explained if the events of its transaction describe each of its updates, by their kind, their
subject and their details. An event about Bob's role does not explain an entry about Eve, and an event
about a role until March does not explain the same role without an end.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from teamaccess.ledger.chains.parts import Line, Told, time_in_text

Rule = Callable[[Told, Line], bool]


def explains(told: Sequence[Told], updates: Iterable[object]) -> bool:
    """Return whether the events describe each update."""
    rules = [(rule, event) for event in told if (rule := RULES.get(event.kind)) is not None]
    lines = [Line.of(text) for text in updates]
    for line in lines:
        for rule, event in rules:  # a loop, because this runs for every update of every ledger
            if rule(event, line):
                break
        else:
            return False
    return all(_within_count(event, lines) for event in told if event.kind in COUNTED)


def _within_count(told: Told, lines: Sequence[Line]) -> bool:
    """Return whether an event that counts what changed is not about fewer things.

    A change of several positions has an event for all of them, so an entry may have fewer.
    """
    match told.kind:
        case "members_imported":
            gates = [line.subject for line in lines if line.touches and told.is_gate(line)]
            roles = {line.subject for line in lines if line.touches and told.role_of(line)}
            return len(gates) <= told.count("members") and roles <= set(gates)
        case "drift_mended":
            restored = sum(line.verb == "RESTORE" for line in lines)
            purged = sum(line.verb == "PURGE" for line in lines)
            return restored <= told.count("restored") and purged <= told.count("purged")
        case "role_deleted":
            instead = told.details.get("instead")
            touched = ((line.subject, told.role_of(line)) for line in lines if line.touches)
            given = {subject for subject, role in touched if role is not None and role == instead}
            return len(given) <= told.count("members") + told.count("teams")
        case _:
            here = [line for line in lines if told.is_local(line)]
            registered = {line.resource for line in here if line.touches}
            removed = {line.resource for line in here if line.deletes} - registered
            few = len(registered) <= told.count("registered")
            return few and len(removed) <= told.count("removed")


def _roles_replaced(holder: Callable[[Told], str]) -> Rule:
    def rule(told: Told, line: Line) -> bool:
        role = told.role_of(line)
        if role is None or line.subject != holder(told):
            return False
        if line.touches:
            return role in told.names("after") and line.until == told.end_of(role)
        return line.deletes and role in told.names("before") and role not in told.names("after")

    return rule


def _role_ended(holder: Callable[[Told], str]) -> Rule:
    return lambda told, line: (
        line.deletes
        and line.subject == holder(told)
        and told.role_of(line) == told.details.get("role")
    )


def _user(told: Told) -> str:
    return told.subject


def _team(told: Told) -> str:
    return told.members_of(told.id)


def _membership_ended(told: Told, line: Line) -> bool:
    return line.deletes and (line.subject == told.subject or line.is_invitation)


def _membership_end(told: Told, line: Line) -> bool:
    return (
        line.touches
        and told.is_gate(line)
        and line.subject == told.subject
        and line.until == told.end("after")
    )


def _suspended(told: Told, line: Line) -> bool:
    return line.deletes and told.is_gate(line) and line.subject == told.subject


def _reactivated(told: Told, line: Line) -> bool:
    return line.touches and told.is_gate(line) and line.subject == told.subject


def _administrator(told: Told, line: Line) -> bool:
    """An administrator, and one role of theirs, have no end."""
    if line.deletes:
        return line.is_invitation
    given = told.is_gate(line) or told.role_of(line) is not None
    return line.touches and given and line.subject == told.subject and line.until is None


def _imported(told: Told, line: Line) -> bool:
    if line.deletes:
        return line.is_invitation
    given = told.is_gate(line) or told.role_of(line) is not None
    return line.touches and given and line.subject.startswith("user:") and line.until is None


def _invited(told: Told, line: Line) -> bool:
    """An expired invitation to the same address ends."""
    if line.deletes:
        return line.is_invitation
    return (
        line.touches
        and line.is_invitation
        and line.resource == f"invitation:{told.organization}/{told.id}"
        and line.until is not None
        and line.until == told.end("expires_at")
    )


def _invitation_ended(told: Told, line: Line) -> bool:
    own = line.resource == f"invitation:{told.organization}/{told.id}"
    return line.deletes and line.is_invitation and own


def _accepted(told: Told, line: Line) -> bool:
    if line.deletes:
        return line.is_invitation
    given = told.is_gate(line) or told.role_of(line) in told.names("roles")
    user = f"user:{told.details.get('user')}"
    return line.touches and given and line.subject == user and line.until is None


def _approved(told: Told, line: Line) -> bool:
    """Roles that have ended, and that the sweeper has not ended yet, end with the approval."""
    if line.subject != f"user:{told.details.get('user')}":
        return False
    if line.deletes:
        return told.role_of(line) is not None and line.until is not None
    right_role = told.role_of(line) == told.details.get("role")
    ends = line.until is not None and line.until == told.end("until")
    return line.touches and right_role and ends


def _is_action(told: Told, line: Line, actions: Sequence[Any]) -> bool:
    return (
        line.resource == f"organization:{told.organization}"
        and line.subject == f"role:{told.organization}/{told.id}#member"
        and line.relation.startswith("granted_")
        and line.relation.removeprefix("granted_") in actions
    )


def _role_created(told: Told, line: Line) -> bool:
    return line.touches and _is_action(told, line, told.names("actions"))


def _role_changed(told: Told, line: Line) -> bool:
    field = "added" if line.touches else "removed"
    return (line.touches or line.deletes) and _is_action(told, line, told.names(field))


def _role_deleted(told: Told, line: Line) -> bool:
    role = told.role_of(line)
    if line.touches:
        return role is not None and role == told.details.get("instead")
    ended = role == told.id or line.is_invitation
    return line.deletes and (ended or _is_action(told, line, told.names("actions")))


def _team_deleted(told: Told, line: Line) -> bool:
    of_team = told.is_team(line, told.id) or line.subject == told.members_of(told.id)
    return line.deletes and of_team


def _place_given(told: Told, line: Line) -> bool:
    place = told.is_team(line, told.details.get("team")) and line.subject == told.subject
    return line.touches and place and line.until == told.end("expires_at")


def _place_ended(told: Told, line: Line) -> bool:
    place = told.is_team(line, told.details.get("team"))
    return line.deletes and place and line.subject == told.subject


def _registered(told: Told, line: Line) -> bool:
    meant = {
        "organization": f"organization:{told.organization}",
        "creator": f"user:{told.details.get('creator')}",
    }
    own = line.resource == told.subject and line.subject == meant.get(line.relation)
    return line.touches and own and line.until is None


def _removed(told: Told, line: Line) -> bool:
    return line.deletes and line.resource == told.subject


def _resources_changed(told: Told, line: Line) -> bool:
    registers = line.touches and line.relation in ("organization", "creator")
    return told.is_local(line) and (registers or line.deletes)


def _grants_changed(told: Told, line: Line) -> bool:
    if line.resource != told.subject or not line.relation.startswith("granted_"):
        return False
    held = f"{line.relation.removeprefix('granted_')} {_holder(told, line)}"
    if line.deletes:
        return any(str(each).partition(" until ")[0] == held for each in told.names("before"))
    for each in told.names("after"):
        grant, has_end, end = str(each).partition(" until ")
        if grant == held and line.until == (time_in_text(end) if has_end else None):
            return line.touches
    return False


def _grant_ended(told: Told, line: Line) -> bool:
    return (
        line.deletes
        and line.resource == told.subject
        and line.relation == f"granted_{told.details.get('action')}"
        and _holder(told, line) == told.details.get("holder")
    )


def _holder(told: Told, line: Line) -> str:
    """Return the holder of a grant as the events name it: a team by its id in the organization."""
    team = line.subject.removeprefix(f"team:{told.organization}/")
    return line.subject if team == line.subject else f"team:{team.removesuffix('#member')}"


def _account_created(told: Told, line: Line) -> bool:
    if not line.touches or line.subject != told.subject:
        return False
    if told.is_gate(line):
        return line.until is None
    role = told.role_of(line)
    return role is not None and role in told.names("roles") and line.until == told.end_of(role)


def _organization_created(told: Told, line: Line) -> bool:
    given = told.is_gate(line) or told.role_of(line) is not None
    return line.touches and given and line.subject == told.actor and line.until is None


def _deleted(told: Told, line: Line) -> bool:
    """Everything of an organization ends with it. A deleted organization stays deleted."""
    return line.deletes and told.ended


def _mended(_: Told, line: Line) -> bool:
    return line.verb in ("RESTORE", "PURGE")


COUNTED = ("members_imported", "resources_changed", "drift_mended", "role_deleted")
"""Kinds whose details say how many things changed, and do not name each."""
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
