"""Put members into teams and take them out."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ARRAY, Text, any_, literal, select
from sqlalchemy.orm import selectinload

from teamaccess.access.authorize import (
    Gift,
    authorize,
    authorize_giving,
    authorize_on,
    is_later,
    require_membership,
)
from teamaccess.access.holdings import NOTHING, Holdings, Target, holdings_of_team, team_target
from teamaccess.changes import OrganizationChange
from teamaccess.changes.caps import refuse_full
from teamaccess.changes.events import EventDetails, record_each
from teamaccess.changes.events.roles import (
    TeamLeft,
    TeamMemberAdded,
    TeamMemberChanged,
    TeamMemberRemoved,
)
from teamaccess.common.errors import Invalid, NotFound, naming_item
from teamaccess.directory.members.find import WHOLE_MEMBER, UnknownMember
from teamaccess.directory.teams.find import UnknownTeam
from teamaccess.storage import Membership, Team, TeamId, TeamMembership, UserId, is_local_id


class NotInTeam(NotFound):
    """The user has no place in the team."""

    message = "{user} is not in the team {team}."


class PlaceTwice(Invalid):
    """A batch names the same place in a team twice, so the order of its operations would matter."""

    message = "{user} is listed twice for the team {team}. List each place once."


@dataclass(frozen=True)
class PlaceOperation:
    """A place in a team, to take or to end."""

    team: TeamId
    user: UserId
    until: datetime | None = None
    remove: bool = False


@dataclass
class KnownPlaces:
    """What PostgreSQL stores about the teams, the members and the places that a change names."""

    members: Mapping[UserId, Membership]
    teams: Mapping[TeamId, Team]
    holdings: Mapping[TeamId, Holdings]
    """What each team holds. Places do not change it."""
    places: dict[tuple[TeamId, UserId], TeamMembership]
    growth: Counter[TeamId] = field(default_factory=Counter)
    """By how many members each team grows."""
    events: list[tuple[EventDetails, str]] = field(default_factory=list)
    """The events to record, each with its subject."""


async def put(
    change: OrganizationChange, id: TeamId, user: UserId, until: datetime | None
) -> tuple[Membership, TeamMembership]:
    """Put a member into the team until a time, None for no end; return the member and the place.

    A new place, and a later end of a place, give everything that the team holds. An earlier end takes it
    away. Raises what `authorize_giving` does, UnknownTeam, UnknownMember and LimitReached.
    """
    known = await _read_places(change, [id], [user])
    placed = await _put(change, known, id, user, until)
    await _finish(change, known)
    return placed


async def put_each(
    change: OrganizationChange, operations: Sequence[PlaceOperation], first: int = 1
) -> None:
    """Do what `put` does for each operation, with few statements for all of them.

    Every refusal names its item. `first` is the number of the first item.
    """
    known = await _read_named(change, operations)
    for number, each in enumerate(operations, start=first):
        with naming_item(number):
            await _put(change, known, each.team, each.user, each.until)
    await _finish(change, known, _last_puts(operations, first))


async def take(change: OrganizationChange, id: TeamId, user: UserId) -> None:
    """End a member's place in the team. Leaving a team in person requires no permission.

    Raises what `authorize_on` does, UnknownTeam and NotInTeam.
    """
    known = await _read_places(change, [id], [user])
    await _take(change, known, id, user)
    await _finish(change, known)


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
    known = await _read_named(change, operations)
    results, seen = [], set()
    for number, operation in enumerate(operations, start=1):
        with naming_item(number):
            if (operation.team, operation.user) in seen:
                raise PlaceTwice(user=operation.user, team=operation.team)
            seen.add((operation.team, operation.user))
            results.append(await _change_place(change, known, operation))
    await _finish(change, known, _last_puts(operations))
    return results


def _last_puts(operations: Sequence[PlaceOperation], first: int = 1) -> dict[TeamId, int]:
    """Return the number of the last operation that puts somebody into each team."""
    return {each.team: n for n, each in enumerate(operations, start=first) if not each.remove}


async def _change_place(
    change: OrganizationChange, known: KnownPlaces, operation: PlaceOperation
) -> PlaceResult:
    team, user, until = operation.team, operation.user, operation.until
    place = known.places.get((team, user))
    if not operation.remove:
        same = place is not None and place.expires_at == until
        await _put(change, known, team, user, until)
        return PlaceResult.ALREADY_THERE if same else PlaceResult.PUT
    if place is None and team in known.teams:
        return PlaceResult.ALREADY_REMOVED
    await _take(change, known, team, user)
    return PlaceResult.REMOVED


async def _read_named(
    change: OrganizationChange, operations: Sequence[PlaceOperation]
) -> KnownPlaces:
    teams, users = [each.team for each in operations], [each.user for each in operations]
    return await _read_places(change, teams, users)


async def _read_places(
    change: OrganizationChange, ids: Iterable[TeamId], users: Iterable[UserId]
) -> KnownPlaces:
    """Read everything that a change of places names, with a few statements for each team.

    SECURITY: rows that the session has already are read again, as in `find_member`.
    """
    organization, fresh = change.organization, {"populate_existing": True}
    named = literal(sorted({user for user in users if is_local_id(user)}), ARRAY(Text))
    among = literal(sorted({id for id in ids if is_local_id(id)}), ARRAY(Text))
    members = await change.session.scalars(
        select(Membership)
        .where(Membership.organization_id == organization, Membership.user_id == any_(named))
        .options(*WHOLE_MEMBER),
        execution_options=fresh,
    )
    by_user = {each.user_id: each for each in members.unique()}
    teams = await change.session.scalars(
        select(Team)
        .where(Team.organization_id == organization, Team.id == any_(among))
        .options(selectinload(Team.roles)),
        execution_options=fresh,
    )
    by_id = {team.id: team for team in teams}
    places = await change.session.scalars(
        select(TeamMembership).where(
            TeamMembership.organization_id == organization,
            TeamMembership.team_id == any_(among),
            TeamMembership.user_id == any_(named),
        ),
        execution_options=fresh,
    )
    return KnownPlaces(
        by_user,
        by_id,
        {id: await holdings_of_team(change, team) for id, team in by_id.items()},
        {(each.team_id, each.user_id): each for each in places},
    )


async def _put(
    change: OrganizationChange,
    known: KnownPlaces,
    id: TeamId,
    user: UserId,
    until: datetime | None,
) -> tuple[Membership, TeamMembership]:
    """Authorize the place and add it to the session. `_finish` must follow."""
    organization = change.organization
    member, place = known.members.get(user), known.places.get((id, user))
    is_unchanged = place is not None and place.expires_at == until
    target = await _target(change, known, id, user, exempt=is_unchanged)
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
        place = TeamMembership(
            organization_id=organization, team_id=id, user_id=user, joined_at=change.now
        )
        change.session.add(place)
        known.places[id, user] = place
        known.growth[id] += 1
    place.expires_at = until
    known.events.append((kind(team=id, expires_at=until), user))
    return member, place


async def _take(change: OrganizationChange, known: KnownPlaces, id: TeamId, user: UserId) -> None:
    """Authorize the removal and delete the place in the session. `_finish` must follow."""
    place = known.places.get((id, user))
    leaves = place is not None and change.is_self(user)
    if leaves:
        await require_membership(change)
    else:
        target = await _target(change, known, id, user)
        if place is None and target.refusal is None:
            target = Target(None, NotInTeam(user=user, team=id))
        await authorize_on(change, "manage_teams", target)
    await change.session.delete(place)
    known.growth[id] -= 1
    known.events.append((TeamLeft(team=id) if leaves else TeamMemberRemoved(team=id), user))


async def _finish(
    change: OrganizationChange, known: KnownPlaces, last_put: Mapping[TeamId, int] | None = None
) -> None:
    """Refuse teams that became too large, and record the events. Raises LimitReached.

    `last_put` has the number of the item that the refusal of a team names.
    """
    organization = change.organization
    for id, growth in known.growth.items():
        present = select(literal(1)).where(
            TeamMembership.organization_id == organization, TeamMembership.team_id == id
        )
        with (
            naming_item(last_put[id]) if last_put and id in last_put else nullcontext(),
            change.session.no_autoflush,  # so that only the places before this change are counted
        ):
            await refuse_full(change, "team_members", present, adding=growth)
    await record_each(change, known.events, organization)


async def _target(
    change: OrganizationChange,
    known: KnownPlaces,
    id: TeamId,
    user: UserId,
    *,
    exempt: bool = False,
) -> Target[Team]:
    """Return the team, for what is done to a user's place in it.

    The actor needs no rank if nothing changes (`exempt`), or if it is their own place, in person.
    """
    team = known.teams.get(id)
    if team is None:
        return Target(None, UnknownTeam(team=id, organization=change.organization))

    async def is_exempt() -> bool:
        return exempt or change.is_self(user)

    return await team_target(change, team, is_exempt, user, known.holdings[id])
