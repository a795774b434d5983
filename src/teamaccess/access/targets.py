"""What operations are done to: members and teams, with all that the actor must hold to change them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy import Select, select

from teamaccess.access.holdings import (
    NOTHING,
    Holdings,
    holdings_of_member,
    holdings_of_team,
)
from teamaccess.changes import OrganizationChange
from teamaccess.common.errors import Forbidden, TeamaccessError
from teamaccess.storage import Membership, Team, TeamMembership, User, UserId

Row = TypeVar("Row")


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
class Target(Generic[Row]):
    """What an operation is done to: a member, a team, a custom role, a request."""

    row: Row | None
    refusal: TeamaccessError | None = None
    """Why the operation cannot be done to it, for example because there is no such row."""
    holdings: Holdings = NOTHING
    """Everything that it holds or confers."""
    above: Callable[[list[str]], TeamaccessError] | None = None
    """Returns the refusal for an actor who lacks some of the actions."""
    exempt: Callable[[], Awaitable[bool]] | None = None
    """Whether the actor needs no rank, because the operation concerns only them in person."""
    are_others: Callable[[], Awaitable[bool]] | None = None
    """Whether those who get or lose something are people other than the actor; None for yes."""


NO_TARGET: Target[None] = Target(None)


async def member_target(
    change: OrganizationChange, member: Membership, *, exempt_self: bool = True
) -> Target[Membership]:
    """Return a member as a target; `exempt_self` lets the actor act on themselves without rank."""
    user = member.user_id

    async def is_self() -> bool:
        return exempt_self and change.is_self(user)

    def above(missing: list[str]) -> TeamaccessError:
        return MemberAboveActor(user=user, missing=missing)

    async def are_others() -> bool:
        return _is_another_person(change, member.user)

    holdings = await holdings_of_member(change, member)
    return Target(member, None, holdings, above, is_self, are_others)


async def team_target(
    change: OrganizationChange,
    team: Team,
    exempt: Callable[[], Awaitable[bool]] | None = None,
    placed: UserId | None = None,
) -> Target[Team]:
    """Return a team as a target, for a change of the team or of the place of one user.

    Unless `exempt` decides otherwise, an actor needs no rank who is alone in the team, in person.
    """

    async def is_alone() -> bool:
        return not await _has_others(change, team)

    def above(missing: list[str]) -> TeamaccessError:
        return TeamAboveActor(team=team.id, missing=missing)

    async def are_others() -> bool:
        who = User.id == placed if placed is not None else User.id.in_(_members_of(team))
        users = await change.session.scalars(select(User).where(who))
        return all(_is_another_person(change, user) for user in users)

    holdings = await holdings_of_team(change, team)
    return Target(team, None, holdings, above, exempt or is_alone, are_others)


async def _has_others(change: OrganizationChange, team: Team) -> bool:
    """Return whether anybody but the actor in person is in the team.

    SECURITY: a service account that acts on behalf of a member is somebody else, also where that member
    is alone in the team.
    """
    members = await change.session.scalars(
        _members_of(team).limit(2)  # of two members, one is not the actor
    )
    return any(not change.is_self(member) for member in members)


def _members_of(team: Team) -> Select[UserId]:
    return select(TeamMembership.user_id).where(
        TeamMembership.organization_id == team.organization_id, TeamMembership.team_id == team.id
    )


def _is_another_person(change: OrganizationChange, user: User) -> bool:
    return not user.is_service_account and not change.is_either_self(user.id)
