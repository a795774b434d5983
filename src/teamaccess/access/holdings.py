"""What roles allow, and what members and teams hold through roles, teams and grants.

A member or a team that an operation changes is a `Target`: the actor must hold everything that it holds.

Expiry is ignored here. An expired role still counts as held, because the member may get it back,
and an actor without it must not change them. Access to one object counts as the action in the whole
organization.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import (
    ARRAY,
    CompoundSelect,
    Select,
    Text,
    any_,
    bindparam,
    literal,
    select,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.catalog import Catalog, giving_permission
from teamaccess.changes import OrganizationChange
from teamaccess.common.errors import Forbidden, Invalid, TeamaccessError
from teamaccess.storage import (
    CustomRole,
    Grant,
    Membership,
    OrganizationId,
    RoleId,
    Team,
    TeamMembership,
    TeamRole,
    User,
    UserId,
    is_role_id,
)

Row = TypeVar("Row")
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


class MemberAboveActor(Forbidden):
    """The member holds actions that the caller lacks, so the caller may not change them."""

    message = "You can't change {user}: they hold permissions you don't ({missing})."


class TeamAboveActor(Forbidden):
    """Members of the team hold actions through it that the caller lacks."""

    message = (
        "You can't change the team {team}: its members hold permissions through it that you "
        "don't ({missing})."
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

    def permissions_of(self, roles: Iterable[RoleId]) -> frozenset[str]:
        """Return what holders of the roles may do: the actions, and the permissions to give roles."""
        roles = list(roles)
        predefined = [role for role in roles if role in self.catalog.roles]
        return self.actions_of(roles).union(*map(self.catalog.permissions_of, predefined))

    def powers_of(self, roles: Iterable[RoleId]) -> frozenset[str]:
        """Return everything an actor needs to give the roles: actions, and permissions to give roles.

        The powers of a role include those of the roles that it may give.
        """
        powers: set[str] = set()
        for role in self._with_given(roles):
            powers |= self._actions(role)
            if role in self.catalog.givers:
                powers.add(giving_permission(role))
        return frozenset(powers)

    def beyond(
        self, roles: Iterable[RoleId], held: Set[str], free: Collection[RoleId] = ()
    ) -> frozenset[str]:
        """Return what an actor who holds `held` lacks to give these roles, except the roles in `free`.

        The actor needs each action of the roles. If a role may give other roles, the actor must also be
        allowed to give those, or hold everything that they allow. Otherwise they could obtain the
        permission to give them by giving the first role.
        """
        return self._beyond((role for role in roles if role not in free), held, set())

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

    def _beyond(self, roles: Iterable[RoleId], held: Set[str], seen: set[RoleId]) -> frozenset[str]:
        missing: set[str] = set()
        for role in roles:
            missing |= self._actions(role) - held
            for given in self._may_give(role):
                if giving_permission(given) not in held and given not in seen:
                    seen.add(given)
                    if self._beyond([given], held, seen):
                        missing.add(giving_permission(given))
        return frozenset(missing)

    def _with_given(self, roles: Iterable[RoleId]) -> set[RoleId]:
        """Return the roles, the roles that they may give, and so on."""
        found: set[RoleId] = set()
        pending = list(roles)
        while pending:
            role = pending.pop()
            if role not in found:
                found.add(role)
                pending += self._may_give(role)
        return found

    def _may_give(self, role: RoleId) -> list[RoleId]:
        predefined = self.catalog.roles.get(role)
        return [RoleId(given) for given in predefined.may_give] if predefined is not None else []

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
        execution_options={"populate_existing": True},  # this change may have altered them
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


async def role_set_in(change: OrganizationChange, roles: Iterable[RoleId]) -> RoleSet:
    """Return `role_set_of` for the organization of the change."""
    return await role_set_of(change.session, change.catalog, change.organization, roles)


@dataclass(frozen=True)
class Holdings:
    """What a member or a team holds, or what a gift contains: roles, and actions not from roles."""

    role_set: RoleSet | None = None
    """The organization's roles. None if `roles` is empty."""
    roles: frozenset[RoleId] = frozenset()
    actions: frozenset[str] = NO_ACTIONS
    """Actions that come from grants on single objects, or that a custom role contains."""

    @property
    def powers(self) -> frozenset[str]:
        """Everything an actor needs to give this or to take it away."""
        return self.actions | (self.role_set.powers_of(self.roles) if self.role_set else NO_ACTIONS)

    def beyond(self, held: Set[str], free: Collection[RoleId] = ()) -> list[str]:
        """Return what an actor who holds `held` lacks of it, except the roles in `free`."""
        by_roles = self.role_set.beyond(self.roles, held, free) if self.role_set else NO_ACTIONS
        return sorted((self.actions - held) | by_roles)

    def givable(self, held: Set[str]) -> frozenset[RoleId]:
        """Return its roles that an actor who holds `held` may give without holding their actions."""
        return frozenset(role for role in self.roles if giving_permission(role) in held)


NOTHING = Holdings()


async def holdings_of_member(change: OrganizationChange, member: Membership) -> Holdings:
    """Return everything that the member holds, or would hold if they were active."""
    roles, grants = set(member.roles), set()
    keys = {"organization": member.organization_id, "user": member.user_id}
    for kind, name, action in await change.session.execute(ROLES_OF_TEAMS_AND_GRANTS, keys):
        if kind == "role":
            roles.add(RoleId(name))
        else:
            grants.add((name, action))
    return await _holdings(change, roles, grants)


async def holdings_of_team(change: OrganizationChange, team: Team) -> Holdings:
    """Return everything that the members of the team hold through it."""
    keys = {"organization": team.organization_id, "team": team.id}
    rows = await change.session.execute(GRANTS_OF_TEAM, keys)
    grants = [(type, action) for type, action in rows]
    return await _holdings(change, [held.role for held in team.roles], grants)


async def _holdings(
    change: OrganizationChange, roles: Iterable[RoleId], grants: Iterable[tuple[str, str]]
) -> Holdings:
    held = frozenset(roles)
    behind = _actions_behind(change.catalog, grants)
    return Holdings(await role_set_in(change, held), held, behind)


def _actions_behind(catalog: Catalog, grants: Iterable[tuple[str, str]]) -> frozenset[str]:
    """Return the actions that the grants on objects stand for, if the catalog still has them."""
    return frozenset(
        catalog.types[type].actions[verb]
        for type, name in grants
        if type in catalog.types
        for verb in catalog.types[type].actions_granted(name)
    )


@dataclass(frozen=True)
class Target(Generic[Row]):
    """What an operation changes: a member, a team, a custom role, a request."""

    row: Row | None
    refusal: TeamaccessError | None = None
    """Why the operation is impossible, for example because there is no such row."""
    holdings: Holdings = NOTHING
    """Everything that it holds or confers."""
    above: Callable[[list[str]], TeamaccessError] | None = None
    """Returns the refusal for an actor who lacks some of the actions."""
    exempt: Callable[[], Awaitable[bool]] | None = None
    """Whether the actor need not hold `holdings`, because the operation affects only them in person."""
    are_others: Callable[[], Awaitable[bool]] | None = None
    """Whether everybody affected is a person other than the actor; None for yes."""


NO_TARGET: Target[None] = Target(None)


async def member_target(
    change: OrganizationChange, member: Membership, *, exempt_self: bool = True
) -> Target[Membership]:
    """Return a member as a target. With `exempt_self`, actors may act on themselves in any case."""
    user = member.user_id

    async def is_self() -> bool:
        return exempt_self and change.is_self(user)

    def above(missing: list[str]) -> TeamaccessError:
        return MemberAboveActor(user=user, missing=missing)

    async def are_others() -> bool:
        return await _is_another_person(change, member.user)

    holdings = await holdings_of_member(change, member)
    return Target(member, None, holdings, above, is_self, are_others)


async def team_target(
    change: OrganizationChange,
    team: Team,
    exempt: Callable[[], Awaitable[bool]] | None = None,
    placed: UserId | None = None,
    holdings: Holdings | None = None,
) -> Target[Team]:
    """Return a team as a target, for a change of the team or of the place of one user.

    `holdings` is what the team holds, if that is known already. Without `exempt`, an actor who is the
    team's only member, in person, need not hold what the team holds.
    """

    async def is_alone() -> bool:
        return not await _has_others(change, team)

    def above(missing: list[str]) -> TeamaccessError:
        return TeamAboveActor(team=team.id, missing=missing)

    async def are_others() -> bool:
        if placed is not None:
            user = await change.session.get(User, placed)  # loaded with the member already
            return user is None or await _is_another_person(change, user)
        users = await change.session.scalars(select(User).where(User.id.in_(_members_of(team))))
        return all([await _is_another_person(change, user) for user in users])

    if holdings is None:
        holdings = await holdings_of_team(change, team)
    return Target(team, None, holdings, above, exempt or is_alone, are_others)


async def _has_others(change: OrganizationChange, team: Team) -> bool:
    """Return whether the team has members other than the actor, who must act in person.

    SECURITY: a service account that acts on behalf of a member does not count as that member, even
    if they are alone in the team.
    """
    members = await change.session.scalars(
        _members_of(team).limit(2)  # of two members, one is not the actor
    )
    return any(not change.is_self(member) for member in members)


def _members_of(team: Team) -> Select[UserId]:
    return select(TeamMembership.user_id).where(
        TeamMembership.organization_id == team.organization_id, TeamMembership.team_id == team.id
    )


async def _is_another_person(change: OrganizationChange, user: User) -> bool:
    return not user.is_service_account and not await change.is_oneself(user)
