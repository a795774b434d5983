"""Authorize what the actor of a change does: the guard of an operation, and the rules of giving access.

The customers' documents say that Fintoc's Administrator "cannot be granted through the Dashboard", and
that only administrators manage members. This product adds that nobody gives what they do not have, and
nobody changes someone above them. SpiceDB always decides, through the catalog's guards.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, overload

from teamaccess.access.holdings import (
    NO_ACTIONS,
    NO_TARGET,
    NOTHING,
    Holdings,
    RoleSet,
    Row,
    Target,
)
from teamaccess.access.object_grants import GrantsOnObject, refuse_grants
from teamaccess.catalog import Catalog
from teamaccess.changes import Change, OrganizationChange
from teamaccess.common.errors import Conflict, Forbidden, Invalid
from teamaccess.ledger import UnknownOrganization
from teamaccess.storage import Channel, HeldRole, OrganizationId, RoleId, User

MEMBERSHIP = "membership"
"""The permission that every active member has. For a user without it the organization does not exist."""

ADMINISTRATION = "administration"
"""The permission of the role that holds every action: a user who has it has all the others."""


class MissingPermission(Forbidden):
    """The caller lacks the action that guards the operation. Only a role that has it helps."""

    message = (
        "You need the permission {permission} in {organization}. Ask an administrator for a "
        "role that has it."
    )


class OnlyInPerson(Forbidden):
    """Only a signed-in person may do this. The caller is a service account, or acts for a member."""

    message = (
        "Only a person who signed in themselves can do this. A service account can't, not even "
        "on behalf of a member."
    )


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
        "expires_at can be at most {days:day} ahead; got {until}. Leave it out for access "
        "without an end."
    )


class RoleNotForTeams(Conflict):
    """The catalog keeps the role for members; a team cannot hold it."""

    message = "Teams can't hold the role {role}. Give it to members directly."


Ends = Mapping[RoleId, datetime | None]
"""Roles with their ends; None for a role without one."""


@dataclass(frozen=True)
class Gift:
    """Everything that one operation gives."""

    holdings: Holdings = NOTHING
    """What somebody gets: new roles, ones held longer than before, and actions."""
    ends: Collection[datetime | None] = ()
    """The ends that are set. An end that stays as it is gives nothing, and is not among them."""
    kept: Collection[RoleId] = ()
    """Roles that the target keeps for longer. The target's rank covers what they allow."""
    named: Collection[RoleId] = ()
    """Every role that the request names, including those that are held already."""
    role_set: RoleSet | None = None
    """The organization's roles, if any are named."""
    to_team: bool = False
    """Whether a team gets the roles."""
    grants: GrantsOnObject | None = None
    """What changes among the grants on one object."""
    by_role_with: frozenset[str] = NO_ACTIONS
    """Actions that somebody gets by a role that is named later."""
    to_people: bool = True
    """Whether only people get it. The target names them, and `may_give` counts for nobody else."""

    @property
    def roles(self) -> frozenset[RoleId]:
        """The roles that only operators may give, if the catalog says so."""
        return self.holdings.roles | frozenset(self.kept)

    def beyond(self, held: frozenset[str], free: Collection[RoleId] = ()) -> list[str]:
        """Return what an actor who holds `held` lacks of it, except the roles in `free`."""
        return sorted({*self.holdings.beyond(held, free), *(self.by_role_with - held)})


NO_GIFT = Gift()


async def authorize(
    change: OrganizationChange, operation: str, *, holding: Iterable[str] = ()
) -> frozenset[str]:
    """Return which of the actions `holding` the actor holds, if the actor may do the operation.

    `holding` may also have permissions to give roles, such as `may_give_support`. SpiceDB answers with
    nothing pending. Raises UnknownOrganization for an actor who is not an active member, and
    MissingPermission with the action that guards the operation.
    """
    actions, guard = change.catalog.actions, change.catalog.guards[operation]
    held = await change.held({MEMBERSHIP, ADMINISTRATION, guard})
    require_held(held, change.organization, guard)
    if ADMINISTRATION in held:
        return frozenset(holding)
    permissions = {each: actions[each].permission if each in actions else each for each in holding}
    held = await change.held(permissions.values())
    return frozenset(action for action, permission in permissions.items() if permission in held)


async def require_membership(change: OrganizationChange) -> None:
    """Raise UnknownOrganization unless the actor is an active member."""
    require_held(await change.held([MEMBERSHIP]), change.organization, MEMBERSHIP)


def require_held(held: frozenset[str], organization: OrganizationId, guard: str) -> None:
    """Raise UnknownOrganization without membership, MissingPermission without the guard."""
    if MEMBERSHIP not in held:
        raise UnknownOrganization(organization=organization)
    if guard not in held:
        raise MissingPermission(permission=guard, organization=organization)


def require_in_person(change: Change) -> None:
    """Raise OnlyInPerson where a service account acts on behalf of a member."""
    if not change.in_person:
        raise OnlyInPerson


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

    In 6 and 7, the roles that the catalog lets the actor give (`may_give`) need no actions, for a person
    who gives them to other people (`free_roles`). For grants on an object, 6 and 7 ask about the object
    itself (`refuse_grants`).

    Raises UnknownOrganization, MissingPermission, UnknownRole, the target's refusals, EndInThePast,
    EndTooFar, RoleNotForTeams, OperatorOnlyRole, RoleBeyondGiver, GrantBeyondGiver and GrantAboveActor.
    """
    taken = gift.grants.taken_everywhere if gift.grants is not None else NO_ACTIONS
    through_roles = role_choice(change.catalog, gift.by_role_with)
    powers = gift.holdings.powers | target.holdings.powers | through_roles.powers
    held = await authorize(change, operation, holding=powers | taken)
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
    free: frozenset[RoleId] = frozenset()
    if gift.beyond(held) or target.holdings.beyond(held):
        free = await free_roles(change, held, gift, target)
    refuse_beyond(gift.holdings.beyond(held, free))
    if not free & through_roles.roles:
        refuse_beyond(gift.beyond(held, free))
    await refuse_above(target, held, free)
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
    holdings = Holdings(role_set, frozenset(roles))
    return Gift(holdings, ends, named=roles, role_set=role_set, to_team=to_team)


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
    holdings = Holdings(role_set, roles)
    return Gift(holdings, ends, named=after.keys(), role_set=role_set, to_team=to_team)


def ends_of(held: Iterable[HeldRole]) -> dict[RoleId, datetime | None]:
    """Return the roles that are held, with their ends."""
    return {each.role: each.expires_at for each in held}


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


def role_choice(catalog: Catalog, actions: frozenset[str]) -> Holdings:
    """Return the roles with one of the actions that `may_give` names, and the actions."""
    roles = frozenset(
        RoleId(role)
        for role in catalog.givers
        if not actions.isdisjoint(catalog.roles[role].actions)
    )
    return Holdings(RoleSet(catalog, {}), roles, actions)


async def free_roles(
    change: OrganizationChange, held: frozenset[str], gift: Gift, target: Target[Row]
) -> frozenset[RoleId]:
    """Return the roles that the actor may give and take here without holding their actions.

    SECURITY: only a person does this, in person, and to other people. With a service account, somebody
    could give themselves a role in two steps: give it to an account of which they have a token, or let
    the account give it to them.
    """
    given = role_choice(change.catalog, gift.by_role_with).givable(held)
    free = gift.holdings.givable(held) | target.holdings.givable(held) | given
    if not free or not gift.to_people or not change.in_person:
        return frozenset()
    if target.are_others is not None and not await target.are_others():
        return frozenset()
    giver = await change.session.get(User, change.actor)
    return free if giver is not None and not giver.is_service_account else frozenset()


def refuse_beyond(missing: Collection[str]) -> None:
    """Raise RoleBeyondGiver if the actor lacks something that is given."""
    if missing:
        raise RoleBeyondGiver(missing=sorted(missing))


async def refuse_above(
    target: Target[Row], held: frozenset[str], free: Collection[RoleId] = ()
) -> None:
    """Raise the target's refusal unless the actor holds all of its actions, or is exempt."""
    missing = target.holdings.beyond(held, free)
    if not missing or target.above is None:
        return
    if target.exempt is None or not await target.exempt():
        raise target.above(missing)


def refuse_bad_end(catalog: Catalog, end: datetime | None, now: datetime) -> None:
    """Raise EndInThePast or EndTooFar for an end that nobody can give."""
    if end is None:
        return
    if end <= now:
        raise EndInThePast(until=end.astimezone(UTC).isoformat())
    if end > now + timedelta(days=catalog.longest_days):
        raise EndTooFar(days=catalog.longest_days, until=end.astimezone(UTC).isoformat())
