"""Giving access: the one function that authorizes it, and the rules that it applies.

From the seeds: Fintoc's Administrator "cannot be granted through the Dashboard"; only administrators
manage members. From this product: nobody gives what they do not have, and nobody changes someone above
them.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar, overload

from sqlalchemy import select

from teamaccess.access.authorize import authorize
from teamaccess.access.holdings import (
    NO_ACTIONS,
    RoleSet,
    actions_of_member,
    actions_through,
)
from teamaccess.catalog import Catalog
from teamaccess.changes import Change, OrganizationChange
from teamaccess.common.errors import Conflict, Forbidden, Invalid, TeamaccessError
from teamaccess.relationships import ObjectReference
from teamaccess.storage import Channel, HeldRole, Membership, RoleId, Team, TeamMembership, UserId


class RoleTwice(Invalid):
    """A request names the same role twice, so its expiry would be ambiguous."""

    message = "The role {role!r} is listed twice. List each role once."


class OperatorOnlyRole(Forbidden):
    """The catalog lets only operators give this role, through the `teamaccess` command."""

    message = "Only operators of this service can give the role {role}. Ask one of them."


class RoleBeyondGiver(Forbidden):
    """The roles to be given allow actions that the giver lacks."""

    message = "You can't give these roles: they include permissions you don't have ({missing})."


class EndInThePast(Invalid):
    """`expires_at` is not in the future."""

    message = "expires_at must be in the future; got {until}."


class EndTooFar(Invalid):
    """`expires_at` is later than the catalog's `longest_days` allow."""

    message = (
        "expires_at can be at most {days} days ahead; got {until}. Leave it out for access "
        "without an end."
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


class GrantBeyondGiver(Forbidden):
    """The grant allows an action on the resource that the giver lacks."""

    message = (
        "You can't give this access to {resource}: it includes permissions you don't have there"
        " ({missing})."
    )


class GrantAboveActor(Forbidden):
    """The change takes away an action on the resource that the caller lacks."""

    message = (
        "You can't take away this access to {resource}: it includes permissions you don't have "
        "there ({missing})."
    )


class RoleNotForTeams(Conflict):
    """The catalog keeps the role for members; a team cannot hold it."""

    message = "Teams can't hold the role {role}. Give it to members directly."


Ends = Mapping[RoleId, datetime | None]
"""Roles with their ends; None for a role without one."""

Row = TypeVar("Row")


@dataclass(frozen=True)
class Gift:
    """Everything that one operation gives."""

    actions: frozenset[str] = NO_ACTIONS
    """The actions that somebody gets, through roles or otherwise."""
    ends: Collection[datetime | None] = ()
    """The ends that are set. An end that stays as it is gives nothing, and is not among them."""
    roles: Collection[RoleId] = ()
    """The roles that somebody gets: new ones, and ones held longer than before."""
    named: Collection[RoleId] = ()
    """Every role that the request names, also those that are held already."""
    role_set: RoleSet | None = None
    """The organization's roles, if any are named."""
    to_team: bool = False
    """Whether a team gets the roles."""
    grants: "GrantsOnObject | None" = None
    """What changes among the grants on one object."""


@dataclass(frozen=True)
class GrantsOnObject:
    """The actions on one object that somebody gets, and those that somebody else loses."""

    resource: ObjectReference
    given: frozenset[str]
    taken: frozenset[str]
    behind: Mapping[str, str]
    """From an action on the object to the action that gives it throughout the organization."""

    @property
    def taken_everywhere(self) -> frozenset[str]:
        """The actions throughout the organization behind those that are taken."""
        return frozenset(self.behind[verb] for verb in self.taken)


NO_GIFT = Gift()


@dataclass(frozen=True)
class Target(Generic[Row]):
    """What an operation is done to: a member, a team, a custom role, a request."""

    row: Row | None
    refusal: TeamaccessError | None = None
    """Why the operation cannot be done to it, for example because there is no such row."""
    actions: frozenset[str] = NO_ACTIONS
    """Every action that it holds or confers."""
    above: Callable[[list[str]], TeamaccessError] | None = None
    """Returns the refusal for an actor who lacks some of the actions."""
    exempt: Callable[[], Awaitable[bool]] | None = None
    """Whether the actor needs no rank, because the operation concerns only them in person."""


NO_TARGET: Target[None] = Target(None)


@overload
async def authorize_giving(change: OrganizationChange, operation: str, gift: Gift) -> None: ...


@overload
async def authorize_giving(
    change: OrganizationChange, operation: str, gift: Gift, target: Target[Row]
) -> Row: ...


async def authorize_giving(
    change: OrganizationChange, operation: str, gift: Gift, target: Target[Any] = NO_TARGET
) -> Any:
    """Return the target's row, if the actor may do the operation to it and may give the gift.

    Everything that gives access passes through here: roles of members and teams, places in teams,
    invitations and their acceptance, service accounts and their tokens, approvals, custom roles, grants
    on objects, reactivation, a later end of a membership, and the role that replaces a deleted one.
    The order of the checks is part of the contract:

    1. The actor is an active member and holds the operation's guard. SECURITY: this comes first, so that
       a stranger gets the same 404, and a member without the guard the same 403, whatever they name.
       Everything else that matters about the actor is asked together.
    2. The roles that the request names exist, and so does the target.
    3. The ends that are set lie in the future, and not too far ahead.
    4. Teams may hold the roles that a team gets.
    5. No role is one that only operators give, unless an operator gives it.
    6. The actor holds every action that is given.
    7. The target is not above the actor: the actor holds every action of the target, except where the
       operation concerns only the actor in person.

    For grants on an object, 6 and 7 ask about the object itself (`refuse_grants`).

    Raises UnknownOrganization, MissingPermission, UnknownRole, the target's refusals, EndInThePast,
    EndTooFar, RoleNotForTeams, OperatorOnlyRole, RoleBeyondGiver, GrantBeyondGiver and GrantAboveActor.
    """
    taken = gift.grants.taken_everywhere if gift.grants is not None else NO_ACTIONS
    held = await authorize(change, operation, holding=gift.actions | target.actions | taken)
    if gift.role_set is not None:
        gift.role_set.refuse_unknown(gift.named)
    if target.refusal is not None:
        raise target.refusal
    for end in gift.ends:
        refuse_bad_end(change.catalog, end, change.now)
    if gift.role_set is not None:
        if gift.to_team:
            refuse_not_for_teams(gift.named, gift.role_set)
        refuse_operator_only(change, gift.roles, gift.role_set)
    refuse_beyond(gift.actions, held)
    await refuse_above(target, held)
    if gift.grants is not None:
        await refuse_grants(change, gift.grants, held)
    return target.row


async def authorize_on(change: OrganizationChange, operation: str, target: Target[Row]) -> Row:
    """Return the target's row, if the actor may do an operation to it that gives nothing new."""
    return await authorize_giving(change, operation, NO_GIFT, target)


def gift_of_roles(
    role_set: RoleSet,
    roles: Collection[RoleId],
    ends: Collection[datetime | None] = (),
    *,
    to_team: bool = False,
) -> Gift:
    """Return the gift of all these roles, with these ends."""
    return Gift(role_set.actions_of(roles), ends, roles, roles, role_set, to_team)


def gift_of_replacement(
    role_set: RoleSet,
    before: Sequence[HeldRole],
    after: Ends,
    now: datetime,
    *,
    to_team: bool = False,
) -> Gift:
    """Return what a holder gets who holds exactly the roles `after` instead of those `before`.

    That is each new role, each role with a later end, and each role whose end had passed.
    """
    in_force = ends_of(held for held in before if held.active(now))
    roles = frozenset(
        role for role, end in after.items() if role not in in_force or is_later(end, in_force[role])
    )
    present = ends_of(before)
    ends = [end for role, end in after.items() if role not in present or end != present[role]]
    return Gift(role_set.actions_of(roles), ends, roles, after.keys(), role_set, to_team)


def ends_of(held: Iterable[HeldRole]) -> dict[RoleId, datetime | None]:
    """Return the roles that are held, with their ends."""
    return {each.role: each.expires_at for each in held}


async def member_target(
    change: OrganizationChange, member: Membership, *, exempt_self: bool = True
) -> Target[Membership]:
    """Return a member as a target; `exempt_self` lets the actor act on themselves without rank."""
    user = member.user_id

    async def is_self() -> bool:
        return exempt_self and change.is_self(user)

    def above(missing: list[str]) -> TeamaccessError:
        return MemberAboveActor(user=user, missing=missing)

    actions = await actions_of_member(change, member)
    return Target(member, None, actions, above, is_self)


async def team_target(
    change: OrganizationChange,
    team: Team,
    exempt: Callable[[], Awaitable[bool]] | None = None,
) -> Target[Team]:
    """Return a team as a target.

    Unless `exempt` decides otherwise, an actor needs no rank who is alone in the team, in person.
    """

    async def is_alone() -> bool:
        return not await _has_others(change, team)

    def above(missing: list[str]) -> TeamaccessError:
        return TeamAboveActor(team=team.id, missing=missing)

    actions = await actions_through(change, team)
    return Target(team, None, actions, above, exempt or is_alone)


def is_later(end: datetime | None, before: datetime | None) -> bool:
    """Return whether an end comes after another one; None stands for no end, which is the latest."""
    return before is not None and (end is None or end > before)


def refuse_operator_only(change: Change, roles: Iterable[RoleId], role_set: RoleSet) -> None:
    """Raise OperatorOnlyRole, unless an operator gives the roles."""
    if change.attribution.channel is not Channel.OPERATOR:
        for role in sorted(roles):
            if role_set.operators_grant(role):
                raise OperatorOnlyRole(role=role)


def refuse_not_for_teams(roles: Iterable[RoleId], role_set: RoleSet) -> None:
    """Raise RoleNotForTeams for a role that the catalog keeps to members themselves."""
    for role in sorted(roles):
        if not role_set.teams_may_hold(role):
            raise RoleNotForTeams(role=role)


def refuse_beyond(actions: frozenset[str], held: frozenset[str]) -> None:
    """Raise RoleBeyondGiver unless every action that is given is held."""
    if missing := sorted(actions - held):
        raise RoleBeyondGiver(missing=missing)


async def refuse_above(target: Target[Row], held: frozenset[str]) -> None:
    """Raise the target's refusal unless the actor holds all of its actions, or is exempt."""
    missing = sorted(target.actions - held)
    if not missing or target.above is None:
        return
    if target.exempt is None or not await target.exempt():
        raise target.above(missing)


async def refuse_grants(
    change: OrganizationChange, grants: GrantsOnObject, held: frozenset[str]
) -> None:
    """Raise GrantBeyondGiver or GrantAboveActor for what the actor may not do to the object.

    The object is asked, not the organization: a holder of the action in the organization may do it to
    the object, and so may a holder of a grant, but never the object's creator where the action takes
    four eyes. An actor who holds the action in the organization, and could so take it away everywhere,
    may take it away here: also on an object that they created.
    """
    held_on_object = await change.held(grants.given | grants.taken, on=grants.resource)
    if missing := sorted(grants.given - held_on_object):
        raise GrantBeyondGiver(resource=grants.resource, missing=missing)
    taken = grants.taken - held_on_object
    if missing := sorted(verb for verb in taken if grants.behind[verb] not in held):
        raise GrantAboveActor(resource=grants.resource, missing=missing)


def refuse_bad_end(catalog: Catalog, end: datetime | None, now: datetime) -> None:
    """Raise EndInThePast or EndTooFar for an end that nobody can give."""
    if end is None:
        return
    if end <= now:
        raise EndInThePast(until=end.astimezone(UTC).isoformat())
    if end > now + timedelta(days=catalog.longest_days):
        raise EndTooFar(days=catalog.longest_days, until=end.astimezone(UTC).isoformat())


async def _has_others(change: OrganizationChange, team: Team) -> bool:
    """Return whether anybody but the actor in person is in the team.

    SECURITY: a service account that acts on behalf of a member is somebody else, also where that member
    is alone in the team.
    """
    members = await change.session.scalars(
        select(TeamMembership.user_id)
        .where(
            TeamMembership.organization_id == team.organization_id,
            TeamMembership.team_id == team.id,
        )
        .limit(2)  # of two members, one is not the actor
    )
    return any(not change.is_self(UserId(member)) for member in members)
