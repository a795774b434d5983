"""Teams and their members."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from teamaccess.directory.teams.find import TeamMemberEntry
from teamaccess.directory.teams.places import PlaceResult
from teamaccess.storage import Membership, MembershipStatus, Team, TeamMembership
from teamaccess.views.request import (
    MOST_IN_BATCH,
    LocalId,
    Name,
    Request,
    UserReference,
    WithExpiry,
)


class NewTeam(Request):
    """A team to create."""

    id: LocalId
    name: Name


class TeamPatch(Request):
    """The changes to a team."""

    name: Name


class TeamPlaceInput(WithExpiry, kw_only=True):
    """A place in a team, with an optional expiry."""


class PlaceOperationInput(WithExpiry, kw_only=True):
    """A place in a team, to put a member into or to take them out of."""

    operation: Literal["put", "remove"]
    team: LocalId
    user: UserReference

    def __post_init__(self) -> None:
        """Raise ValueError, which makes the body invalid, for a removal with an expiry."""
        if self.operation == "remove" and self.expires_at is not None:
            raise ValueError("A place that is removed has no expiry")


class PlaceBatch(Request):
    """Places in teams to change together, all or none."""

    items: Annotated[list[PlaceOperationInput], Meta(min_length=1, max_length=MOST_IN_BATCH)]


class PlaceResultView(msgspec.Struct):
    """The result for one place."""

    team: str
    user: str
    outcome: PlaceResult


class PlaceResultsView(msgspec.Struct):
    """The result for each place, in the order of the request."""

    items: list[PlaceResultView]


class TeamRoleView(msgspec.Struct):
    """A role that a team holds."""

    role: str
    granted_at: datetime
    expires_at: datetime | None


class TeamView(msgspec.Struct):
    """A team with the roles that its members hold through it."""

    id: str
    name: str
    created_at: datetime
    roles: list[TeamRoleView]

    @classmethod
    def of(cls, team: Team, now: datetime) -> "TeamView":
        """Return the view of a team with the roles that are in force."""
        return cls(
            id=team.id,
            name=team.name,
            created_at=team.created_at,
            roles=[
                TeamRoleView(held.role, held.granted_at, held.expires_at)
                for held in sorted(team.roles, key=lambda held: held.role)
                if held.active(now)
            ],
        )


class TeamMemberView(msgspec.Struct):
    """A member of a team. The times are those of their place in the team."""

    user: str
    email: str | None
    name: str | None
    status: str
    joined_at: datetime
    expires_at: datetime | None

    @classmethod
    def of(cls, member: Membership, place: TeamMembership) -> "TeamMemberView":
        """Return the view of a member with their place."""
        return cls(
            user=member.user_id,
            email=member.user.email,
            name=member.user.name,
            status=member.status,
            joined_at=place.joined_at,
            expires_at=place.expires_at,
        )

    @classmethod
    def listed(cls, entry: TeamMemberEntry) -> "TeamMemberView":
        """Return the view of an entry in the list of a team's members."""
        return cls(
            user=entry.user_id,
            email=entry.email,
            name=entry.name,
            status=MembershipStatus.of(entry.suspended_at),
            joined_at=entry.joined_at,
            expires_at=entry.expires_at,
        )
