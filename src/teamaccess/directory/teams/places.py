"""Put members into teams and take them out."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import literal, select

from teamaccess.access.authorize import (
    Gift,
    authorize,
    authorize_giving,
    authorize_on,
    is_later,
    require_membership,
)
from teamaccess.access.holdings import NOTHING, Target, team_target
from teamaccess.changes import OrganizationChange
from teamaccess.changes.caps import refuse_full
from teamaccess.changes.events import record
from teamaccess.changes.events.roles import (
    TeamLeft,
    TeamMemberAdded,
    TeamMemberChanged,
    TeamMemberRemoved,
)
from teamaccess.common.errors import Invalid, NotFound, naming_item
from teamaccess.directory.members.find import WHOLE, UnknownMember, find_member
from teamaccess.directory.teams.find import UnknownTeam, find_place, find_team
from teamaccess.storage import Membership, Team, TeamId, TeamMembership, UserId, is_local_id


class NotInTeam(NotFound):
    """The user has no place in the team."""

    message = "{user} is not in the team {team}."


class PlaceTwice(Invalid):
    """A batch names the same place in a team twice, so the order of its operations would matter."""

    message = "{user} is listed twice for the team {team}. List each place once."


async def put(
    change: OrganizationChange, id: TeamId, user: UserId, until: datetime | None
) -> tuple[Membership, TeamMembership]:
    """Put a member into the team until a time, None for no end; return the member and the place.

    A new place, and a later end of a place, give everything that the team holds. An earlier end takes it
    away. Raises what `authorize_giving` does, UnknownTeam, UnknownMember and LimitReached.
    """
    organization = change.organization
    member = await find_member(change.session, organization, user)
    place = await find_place(change.session, organization, id, user)
    is_unchanged = place is not None and place.expires_at == until
    target = await _target(change, id, user, exempt=is_unchanged)
    gives = not is_unchanged and (
        place is None or not place.active(change.now) or is_later(until, place.expires_at)
    )
    gift = Gift(target.holdings if gives else NOTHING, [] if is_unchanged else [until])
    if member is None and target.refusal is None:
        target = Target(None, UnknownMember(user=user, organization=organization))
    await authorize_giving(change, "manage_teams", gift, target)
    assert member is not None  # noqa: S101 - authorized, so there is one
    if place is not None and is_unchanged:
        return member, place
    kind = TeamMemberAdded if place is None else TeamMemberChanged
    if place is None:
        present = select(literal(1)).where(
            TeamMembership.organization_id == organization, TeamMembership.team_id == id
        )
        await refuse_full(change, "team_members", present)
        place = TeamMembership(
            organization_id=organization, team_id=id, user_id=user, joined_at=change.now
        )
        change.session.add(place)
    place.expires_at = until
    await record(change, kind(team=id, expires_at=until), organization, user)
    return member, place


async def take(change: OrganizationChange, id: TeamId, user: UserId) -> None:
    """End a member's place in the team. Leaving a team in person requires no permission.

    Raises what `authorize_on` does, UnknownTeam and NotInTeam.
    """
    organization = change.organization
    place = await find_place(change.session, organization, id, user)
    if place is not None and change.is_self(user):
        await require_membership(change)
        await change.session.delete(place)
        await record(change, TeamLeft(team=id), organization, user)
        return
    target = await _target(change, id, user)
    if place is None and target.refusal is None:
        target = Target(None, NotInTeam(user=user, team=id))
    await authorize_on(change, "manage_teams", target)
    await change.session.delete(place)
    await record(change, TeamMemberRemoved(team=id), organization, user)


@dataclass(frozen=True)
class PlaceOperation:
    """A place in a team, to take or to end."""

    team: TeamId
    user: UserId
    until: datetime | None = None
    remove: bool = False


class PlaceResult(StrEnum):
    """What became of a place. If it was so already, nothing has changed."""

    PUT = "put"
    ALREADY_THERE = "already_there"
    REMOVED = "removed"
    ALREADY_REMOVED = "already_removed"


async def change_places(
    change: OrganizationChange, operations: Sequence[PlaceOperation]
) -> list[PlaceResult]:
    """Carry out all operations or none; return the result of each.

    Every refusal names the item. Raises what `put` and `take` do, and PlaceTwice.
    """
    await authorize(change, "manage_teams")
    await _load_members(change, {operation.user for operation in operations})
    results, seen = [], set()
    for number, operation in enumerate(operations, start=1):
        with naming_item(number):
            if (operation.team, operation.user) in seen:
                raise PlaceTwice(user=operation.user, team=operation.team)
            seen.add((operation.team, operation.user))
            results.append(await _change_place(change, operation))
    return results


async def _change_place(change: OrganizationChange, operation: PlaceOperation) -> PlaceResult:
    team, user, until = operation.team, operation.user, operation.until
    place = await find_place(change.session, change.organization, team, user)
    if not operation.remove:
        same = place is not None and place.expires_at == until
        await put(change, team, user, until)
        return PlaceResult.ALREADY_THERE if same else PlaceResult.PUT
    if place is None and await find_team(change.session, change.organization, team) is not None:
        return PlaceResult.ALREADY_REMOVED
    await take(change, team, user)
    return PlaceResult.REMOVED


async def _load_members(change: OrganizationChange, users: Collection[UserId]) -> None:
    """Load the members with one statement, for the questions about each of them."""
    named = [user for user in users if is_local_id(user)]
    await change.session.scalars(
        select(Membership)
        .where(Membership.organization_id == change.organization, Membership.user_id.in_(named))
        .options(*WHOLE)
    )


async def _target(
    change: OrganizationChange, id: TeamId, user: UserId, *, exempt: bool = False
) -> Target[Team]:
    """Return the team, for what is done to a user's place in it.

    The actor needs no rank if nothing changes (`exempt`), or if it is their own place, in person.
    """
    team = await find_team(change.session, change.organization, id)
    if team is None:
        return Target(None, UnknownTeam(team=id, organization=change.organization))

    async def is_exempt() -> bool:
        return exempt or change.is_self(user)

    return await team_target(change, team, is_exempt, user)
