"""Create, change and clone custom roles.

Adding an action to a role gives it to every holder of the role, now and later. Removing an action takes
it away from them. So an actor changes a role only if they hold everything that it allows, before and
after. The other roles of its holders are not touched and do not matter.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

from msgspec import UNSET, UnsetType
from sqlalchemy import literal, select

from teamaccess.access.authorize import Gift, authorize_giving
from teamaccess.access.holdings import Holdings, Target, role_set_in
from teamaccess.catalog import giving_permission
from teamaccess.changes import OrganizationChange
from teamaccess.changes.caps import refuse_full
from teamaccess.changes.events import record
from teamaccess.changes.events.roles import RoleChanged, RoleCreated
from teamaccess.common.errors import Conflict, Forbidden, TeamaccessError
from teamaccess.directory.roles.find import RoleNotFound, find_custom_role
from teamaccess.directory.roles.ids import refuse_bad_id, refuse_taken_name
from teamaccess.directory.roles.selection import (
    Parts,
    Selector,
    actions_of,
    refuse_reserved,
    selectors_among,
)
from teamaccess.storage import CustomRole, RoleId


class RoleExists(Conflict):
    """The organization already has a role with this id."""

    message = "{organization} already has a role {role}. Choose another id."


class PredefinedRole(Conflict):
    """The role belongs to the catalog, so an organization can neither change nor delete it."""

    message = "The role {role} is predefined and can't be changed. Clone it to make a custom role."


class RoleAboveActor(Forbidden):
    """The role to be changed allows actions that the caller lacks."""

    message = (
        "You can't change the role {role}: it includes permissions you don't have ({missing})."
    )


@dataclass(frozen=True)
class Description:
    """The name and the description of a role."""

    name: str
    text: str | None


class RoleState(NamedTuple):
    """Everything about a custom role that a replacement changes."""

    name: str
    description: str | None
    actions: frozenset[str]
    selectors: list[dict[str, str]]

    @classmethod
    def of(cls, role: CustomRole) -> "RoleState":
        """Return the role's present state."""
        return cls(role.name, role.description, role.actions, role.selectors)


class ReplacedRole(NamedTuple):
    """A custom role that was replaced, and its state before."""

    role: CustomRole
    before: RoleState


async def create_role(
    change: OrganizationChange, id: str, about: Description, parts: Parts
) -> CustomRole:
    """Create a role with the actions that the parts stand for; return it.

    Raises what `authorize_giving`, `selection` and `ids` do, RoleExists and LimitReached.
    """
    actions = actions_of(change.catalog, parts)
    await authorize_giving(change, "manage_roles", Gift(Holdings(actions=actions)))
    role = await _begin(change, id, about)
    return await _fill(change, role, actions, selectors_among(parts))


async def clone(
    change: OrganizationChange, id: str, about: Description, original: RoleId
) -> tuple[CustomRole, frozenset[str]]:
    """Create a role that allows what another role does, predefined or custom.

    Returns the role, and what was left out because no custom role may hold it: reserved actions, and
    permissions to give roles (`may_give`). An action that the actor lacks is not left out but refused.
    Raises UnknownRole, ReservedAction if no action would be left, and what `create_role` does.
    """
    role_set = await role_set_in(change, [original])
    all_actions = [change.catalog.actions[action] for action in role_set.actions_of([original])]
    actions = frozenset(action.id for action in all_actions if not action.reserved)
    gift = Gift(Holdings(actions=actions), named=[original], role_set=role_set)
    await authorize_giving(change, "manage_roles", gift)
    role = await _begin(change, id, about)
    if not actions:
        refuse_reserved(all_actions)
    custom = role_set.custom.get(original)
    selectors = [Selector(**selector) for selector in custom.selectors] if custom else []
    predefined = change.catalog.roles.get(original)
    giving = map(giving_permission, predefined.may_give if predefined is not None else ())
    left_out = frozenset(action.id for action in all_actions).union(giving) - actions
    return await _fill(change, role, actions, selectors, clone_of=original), left_out


async def replace(
    change: OrganizationChange, id: RoleId, about: Description, parts: Parts
) -> ReplacedRole:
    """Replace the actions of a role by those that the parts stand for, for all its holders at once.

    Returns the role and its state before. Raises what `authorize_giving` and `selection` do,
    RoleNotFound, PredefinedRole, RoleAboveActor and RoleNameTaken.
    """
    actions = actions_of(change.catalog, parts)
    target = await role_target(change, id)
    added = actions - target.holdings.actions  # an action that stays in the role gives nothing
    gift = Gift(Holdings(actions=added))
    role = await authorize_giving(change, "manage_roles", gift, target)
    before = RoleState.of(role)
    if about.name != before.name:
        await refuse_taken_name(change, about.name, id)
    role.name, role.description = about.name, about.text
    role.selectors = [asdict(selector) for selector in selectors_among(parts)]
    role.replace_actions(actions)
    after = RoleState(role.name, role.description, actions, role.selectors)
    if after == before:
        return ReplacedRole(role, before)  # nothing has changed, so there is nothing to record
    details = RoleChanged(
        added=sorted(actions - before.actions),
        removed=sorted(before.actions - actions),
        renamed=after.name != before.name,
    )
    await record(change, details, change.organization, id)
    return ReplacedRole(role, before)


async def role_target(change: OrganizationChange, id: RoleId) -> Target[CustomRole]:
    """Return a custom role that is to be changed or deleted.

    It refuses with PredefinedRole, RoleNotFound and RoleAboveActor.
    """
    role_set = await role_set_in(change, [id])
    refusal: TeamaccessError | None = None
    if id in change.catalog.roles:
        refusal = PredefinedRole(role=id)
    elif id not in role_set:
        refusal = RoleNotFound(role=id, organization=change.organization)

    def above(missing: list[str]) -> TeamaccessError:
        return RoleAboveActor(role=id, missing=missing)

    holdings = Holdings(actions=role_set.actions_of([id]))
    return Target(role_set.custom.get(id), refusal, holdings, above)


async def _begin(change: OrganizationChange, id: str, about: Description) -> CustomRole:
    """Return a new role that allows nothing yet and is not in the session."""
    role = refuse_bad_id(change.catalog, id)
    if await find_custom_role(change.session, change.organization, role) is not None:
        raise RoleExists(role=role, organization=change.organization)
    await refuse_taken_name(change, about.name, role)
    present = select(literal(1)).where(CustomRole.organization_id == change.organization)
    await refuse_full(change, "roles", present)
    return CustomRole(
        organization_id=change.organization,
        id=role,
        name=about.name,
        description=about.text,
        created_at=change.now,
        allowed=[],
    )


async def _fill(
    change: OrganizationChange,
    role: CustomRole,
    actions: frozenset[str],
    selectors: Sequence[Selector],
    clone_of: RoleId | UnsetType = UNSET,
) -> CustomRole:
    role.selectors = [asdict(selector) for selector in selectors]
    role.replace_actions(actions)
    change.session.add(role)
    details = RoleCreated(actions=sorted(actions), clone_of=clone_of)
    await record(change, details, role.organization_id, role.id)
    return role
