"""Teams and their members."""

from datetime import datetime

import msgspec

from teamaccess.directory.teams.find import TeamMemberEntry
from teamaccess.storage import Membership, MembershipStatus, Team, TeamMembership
from teamaccess.views.request import LocalName, Name, Request, WithExpiry


class NewTeam(Request):
    """A team to create."""

    id: LocalName
    name: Name


class TeamPatch(Request):
    """The changes to a team."""

    name: Name


class TeamPlaceInput(WithExpiry, kw_only=True):
    """A place in a team, with an optional expiry."""


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
