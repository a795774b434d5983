"""Make, change and clone roles of an organization's own.

Putting an action into a role gives it to whoever holds the role, now or later, and taking one out takes
it from them. So both are for those who hold it, and a role is changed only by who holds all that it was
and all that it becomes. What its holders have besides is not touched, and is not asked about.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import literal, select

from teamaccess.access.authorize import authorize
from teamaccess.access.giving import refuse_beyond
from teamaccess.access.role_set import role_set_of
from teamaccess.changes import Change
from teamaccess.changes.events import record
from teamaccess.common.errors import Conflict, Forbidden
from teamaccess.directory.caps import refuse_full
from teamaccess.directory.roles.find import RoleNotFound, find_own
from teamaccess.directory.roles.ids import refuse_bad_id
from teamaccess.directory.roles.selection import (
    Parts,
    Selector,
    actions_of,
    refuse_reserved,
    selectors_among,
)
from teamaccess.storage import CustomRole, OrganizationId, RoleId, UserId


class RoleExists(Conflict):
    """{organization} already has a role {role}."""


class PredefinedRole(Conflict):
    """{role} is one of the roles that every organization has; clone it to have one of your own."""


class RoleAboveActor(Forbidden):
    """Nobody changes a role that allows what they lack: {role} allows {missing}."""


@dataclass(frozen=True)
class Description:
    """What people are told of a role."""

    name: str
    text: str | None


async def make(
    change: Change,
    actor: UserId,
    organization: OrganizationId,
    id: str,
    about: Description,
    parts: Parts,
) -> CustomRole:
    """Make a role of the actions that the parts come to, and return it.

    Raises what `selection` and `ids` do, RoleExists and RoleBeyondGiver.
    """
    actions = actions_of(change.catalog, parts)
    held = await authorize(change, actor, organization, "manage_roles", holding=actions)
    role = await _begin(change, organization, id, about)
    refuse_beyond(actions, held)
    return await _fill(change, role, actions, selectors_among(parts))


async def clone(
    change: Change,
    actor: UserId,
    organization: OrganizationId,
    id: str,
    about: Description,
    original: RoleId,
) -> tuple[CustomRole, frozenset[str]]:
    """Make a role that allows what another one does, of either kind.

    Returns it, and what was left out because no role of an organization's own may hold it. That alone is
    left out: what the actor lacks is refused. Raises UnknownRole, ReservedAction where nothing else is
    left, and what `make` does.
    """
    known = await role_set_of(change.session, change.catalog, organization, [original])
    everything = [change.catalog.actions[each] for each in known.actions_of([original])]
    actions = frozenset(each.id for each in everything if not each.reserved)
    held = await authorize(change, actor, organization, "manage_roles", holding=actions)
    known.refuse_unknown([original])
    role = await _begin(change, organization, id, about)
    if not actions:
        refuse_reserved(everything)
    refuse_beyond(actions, held)
    own = known.own.get(original)
    selectors = [Selector(**each) for each in own.selectors] if own else []
    left_out = frozenset(each.id for each in everything) - actions
    return await _fill(change, role, actions, selectors, clone_of=original), left_out


async def replace(
    change: Change,
    actor: UserId,
    organization: OrganizationId,
    id: RoleId,
    about: Description,
    parts: Parts,
) -> CustomRole:
    """Have a role allow exactly what the parts come to, and return it; it holds for all holders at once.

    Raises what `selection` does, RoleNotFound, PredefinedRole, RoleAboveActor and RoleBeyondGiver.
    """
    wanted = actions_of(change.catalog, parts)
    role, held = await authorize_edit(change, actor, organization, id, wanted)
    refuse_beyond(wanted, held)
    before = role.actions
    renamed = role.name != about.name
    was = (before, role.name, role.description, role.selectors)
    role.name, role.description = about.name, about.text
    role.selectors = [asdict(each) for each in selectors_among(parts)]
    role.replace_actions(wanted)
    if (wanted, role.name, role.description, role.selectors) == was:
        return role  # nothing happened, so there is nothing to record
    await record(
        change,
        "role_changed",
        organization,
        f"role:{id}",
        added=sorted(wanted - before),
        removed=sorted(before - wanted),
        renamed=renamed,
    )
    return role


async def authorize_edit(
    change: Change,
    actor: UserId,
    organization: OrganizationId,
    id: RoleId,
    besides: frozenset[str] = frozenset(),
) -> tuple[CustomRole, frozenset[str]]:
    """Return a role that the actor may change or delete, and what they hold of it and of `besides`.

    Raises what `authorize` does, RoleNotFound, PredefinedRole and RoleAboveActor.
    """
    known = await role_set_of(change.session, change.catalog, organization, [id])
    allowed = known.actions_of([id])
    held = await authorize(change, actor, organization, "manage_roles", holding=allowed | besides)
    if id in change.catalog.roles:
        raise PredefinedRole(role=id)
    if id not in known:
        raise RoleNotFound(role=id, organization=organization)
    if missing := sorted(allowed - held):
        raise RoleAboveActor(role=id, missing=missing)
    return known.own[id], held


async def _begin(
    change: Change, organization: OrganizationId, id: str, about: Description
) -> CustomRole:
    """Return a role that allows nothing yet and is not in the session."""
    free = refuse_bad_id(change.catalog, id)
    if await find_own(change.session, organization, free) is not None:
        raise RoleExists(role=free, organization=organization)
    present = select(literal(1)).where(CustomRole.organization_id == organization)
    await refuse_full(change, organization, "roles", present)
    return CustomRole(
        organization_id=organization,
        id=free,
        name=about.name,
        description=about.text,
        created_at=change.now,
        allowed=[],
    )


async def _fill(
    change: Change,
    role: CustomRole,
    actions: frozenset[str],
    selectors: Sequence[Selector],
    **details: Any,
) -> CustomRole:
    role.selectors = [asdict(each) for each in selectors]
    role.replace_actions(actions)
    change.session.add(role)
    await record(
        change,
        "role_created",
        role.organization_id,
        f"role:{role.id}",
        actions=sorted(actions),
        **details,
    )
    return role
