"""Everything that a member holds or would hold if active, on whatever path, ends left aside."""

from collections.abc import Iterable

from sqlalchemy import CompoundSelect, bindparam, literal, select, union_all

from teamaccess.access.role_set import role_set_of
from teamaccess.catalog import Catalog
from teamaccess.changes import Change
from teamaccess.storage import (
    Grant,
    Membership,
    OrganizationId,
    RoleId,
    TeamMembership,
    TeamRole,
    UserId,
)

_mine = (
    TeamMembership.organization_id == bindparam("organization"),
    TeamMembership.user_id == bindparam("user"),
)
BESIDES: CompoundSelect[str, str, str] = union_all(
    select(literal("role"), TeamRole.role, literal(""))
    .join(
        TeamMembership,
        (TeamMembership.organization_id == TeamRole.organization_id)
        & (TeamMembership.team_id == TeamRole.team_id),
    )
    .where(*_mine),
    select(literal("grant"), Grant.type, Grant.action)
    .join(
        TeamMembership,
        (TeamMembership.organization_id == Grant.organization_id)
        & (TeamMembership.team_id == Grant.team_id),
    )
    .where(*_mine),
    select(literal("grant"), Grant.type, Grant.action).where(
        Grant.organization_id == bindparam("organization"), Grant.user_id == bindparam("user")
    ),
)
"""What somebody has beside the roles that are theirs alone: from teams, and on single objects."""


async def actions_held(change: Change, member: Membership) -> frozenset[str]:
    """Return every action of the member's.

    Access to a single object counts as the action throughout the organization: whoever may only less
    is not above it.
    """
    here = member.organization_id
    roles, granted = await _besides(change, here, member.user_id)
    roles |= set(member.roles)
    known = await role_set_of(change.session, change.catalog, here, roles)
    return known.actions_of(roles) | granted


async def _besides(
    change: Change, organization: OrganizationId, user: UserId
) -> tuple[set[RoleId], frozenset[str]]:
    rows = await change.session.execute(BESIDES, {"organization": organization, "user": user})
    roles: set[RoleId] = set()
    grants: set[tuple[str, str]] = set()
    for kind, what, action in rows:
        if kind == "role":
            roles.add(RoleId(what))
        else:
            grants.add((what, action))
    return roles, actions_behind(change.catalog, grants)


def actions_behind(catalog: Catalog, grants: Iterable[tuple[str, str]]) -> frozenset[str]:
    """Return the actions behind permissions of objects' types, where the catalog has them still."""
    return frozenset(
        catalog.types[type].actions[verb]
        for type, verb in grants
        if type in catalog.types and verb in catalog.types[type].actions
    )
