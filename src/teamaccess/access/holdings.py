"""What roles allow, and every action that a member or a team holds through roles, teams and grants.

Ends are left aside: a role that has ended still counts as held, so that nobody without it changes a
member who may get it back. Access to a single object counts as the action throughout the organization.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import (
    ARRAY,
    CompoundSelect,
    Text,
    any_,
    bindparam,
    literal,
    select,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.catalog import Catalog
from teamaccess.changes import OrganizationChange
from teamaccess.common.errors import Invalid
from teamaccess.storage import (
    CustomRole,
    Grant,
    Membership,
    OrganizationId,
    RoleId,
    Team,
    TeamMembership,
    TeamRole,
    is_role_id,
)

CUSTOM_ROLES = select(CustomRole).where(
    CustomRole.organization_id == bindparam("organization"),
    CustomRole.id == any_(bindparam("roles", type_=ARRAY(Text))),
)
NO_ACTIONS: frozenset[str] = frozenset()

_places_of_user = (
    TeamMembership.organization_id == bindparam("organization"),
    TeamMembership.user_id == bindparam("user"),
)
ROLES_OF_TEAMS_AND_GRANTS: CompoundSelect[str, str, str] = union_all(
    select(literal("role"), TeamRole.role, literal(""))
    .join(
        TeamMembership,
        (TeamMembership.organization_id == TeamRole.organization_id)
        & (TeamMembership.team_id == TeamRole.team_id),
    )
    .where(*_places_of_user),
    select(literal("grant"), Grant.type, Grant.action)
    .join(
        TeamMembership,
        (TeamMembership.organization_id == Grant.organization_id)
        & (TeamMembership.team_id == Grant.team_id),
    )
    .where(*_places_of_user),
    select(literal("grant"), Grant.type, Grant.action).where(
        Grant.organization_id == bindparam("organization"), Grant.user_id == bindparam("user")
    ),
)
"""Everything that a user holds except the roles assigned to them: from teams, and on single objects."""

GRANTS_OF_TEAM = (
    select(Grant.type, Grant.action)
    .where(Grant.organization_id == bindparam("organization"), Grant.team_id == bindparam("team"))
    .distinct()
)


class UnknownRole(Invalid):
    """Neither the catalog nor the organization has a role with this id."""

    message = (
        "There is no role {role!r}. The catalog has {roles}; GET .../roles also lists the "
        "organization's own."
    )


@dataclass(frozen=True)
class RoleSet:
    """The catalog's roles, and those of an organization's custom roles that were looked up."""

    catalog: Catalog
    custom: Mapping[RoleId, CustomRole]

    def __contains__(self, role: RoleId) -> bool:
        return role in self.catalog.roles or role in self.custom

    def refuse_unknown(self, roles: Iterable[RoleId]) -> None:
        """Raise UnknownRole for a role that neither the catalog nor the organization has."""
        for role in roles:
            if role not in self:
                raise UnknownRole(role=role, roles=list(self.catalog.roles))

    def actions_of(self, roles: Iterable[RoleId]) -> frozenset[str]:
        """Return every action that the roles allow together.

        A deleted role allows nothing, and an action that the catalog no longer has is left out.
        """
        return frozenset().union(*(self._actions(role) for role in roles))

    def teams_may_hold(self, role: RoleId) -> bool:
        """Return whether a team may hold the role; a custom role always."""
        return role not in self.catalog.roles or self.catalog.roles[role].teams

    def operators_grant(self, role: RoleId) -> bool:
        """Return whether only operators give the role."""
        predefined = self.catalog.roles.get(role)
        return predefined is not None and predefined.granted_by == "operator"

    def name(self, role: RoleId) -> str:
        """Return the role's display name, or the id of a role that does not exist."""
        found = self.catalog.roles.get(role) or self.custom.get(role)
        return found.name if found is not None else role

    def _actions(self, role: RoleId) -> frozenset[str]:
        if role in self.catalog.roles:
            return self.catalog.roles[role].actions
        if role in self.custom:
            return self.custom[role].actions & self.catalog.actions.keys()
        return NO_ACTIONS


def custom_among(catalog: Catalog, roles: Iterable[RoleId]) -> frozenset[RoleId]:
    """Return the custom roles among the roles: those that the catalog does not have."""
    return frozenset(role for role in roles if role not in catalog.roles)


async def role_set_of(
    session: AsyncSession,
    catalog: Catalog,
    organization: OrganizationId,
    roles: Iterable[RoleId],
) -> RoleSet:
    """Return the organization's roles, with the custom ones among `roles`.

    If the catalog has all of `roles`, PostgreSQL is not asked.
    """
    others = [role for role in dict.fromkeys(roles) if role not in catalog.roles]
    ids = [role for role in others if is_role_id(role)]
    if not ids:
        return RoleSet(catalog, {})
    rows = await session.scalars(
        CUSTOM_ROLES,
        {"organization": organization, "roles": ids},
        execution_options={"populate_existing": True},  # an earlier part may have changed them
    )
    return RoleSet(catalog, {role.id: role for role in rows})


async def every_role(
    session: AsyncSession, catalog: Catalog, organization: OrganizationId
) -> RoleSet:
    """Return all roles of the organization."""
    rows = await session.scalars(
        select(CustomRole).where(CustomRole.organization_id == organization).order_by(CustomRole.id)
    )
    return RoleSet(catalog, {role.id: role for role in rows})


async def roles_here(change: OrganizationChange, roles: Iterable[RoleId]) -> RoleSet:
    """Return the roles of the organization that is changed, as `role_set_of` does."""
    return await role_set_of(change.session, change.catalog, change.organization, roles)


async def actions_of_member(change: OrganizationChange, member: Membership) -> frozenset[str]:
    """Return every action that the member holds, or would hold if they were active."""
    roles, grants = set(member.roles), set()
    keys = {"organization": member.organization_id, "user": member.user_id}
    for kind, name, action in await change.session.execute(ROLES_OF_TEAMS_AND_GRANTS, keys):
        if kind == "role":
            roles.add(RoleId(name))
        else:
            grants.add((name, action))
    role_set = await roles_here(change, roles)
    return role_set.actions_of(roles) | _actions_behind(change.catalog, grants)


async def actions_through(change: OrganizationChange, team: Team) -> frozenset[str]:
    """Return every action that the members of the team hold through it."""
    roles = [held.role for held in team.roles]
    keys = {"organization": team.organization_id, "team": team.id}
    rows = await change.session.execute(GRANTS_OF_TEAM, keys)
    grants = [(type, action) for type, action in rows]
    role_set = await roles_here(change, roles)
    return role_set.actions_of(roles) | _actions_behind(change.catalog, grants)


def _actions_behind(catalog: Catalog, grants: Iterable[tuple[str, str]]) -> frozenset[str]:
    """Return the actions behind permissions of object types, where the catalog still has them."""
    return frozenset(
        catalog.types[type].actions[verb]
        for type, verb in grants
        if type in catalog.types and verb in catalog.types[type].actions
    )
