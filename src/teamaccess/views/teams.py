"""Teams, and who is in them."""

from datetime import datetime

import msgspec

from teamaccess.directory.teams.find import TeamMemberEntry
from teamaccess.storage import Membership, MembershipStatus, Team, TeamMembership
from teamaccess.views.request import LocalName, Name, Request, WithEnd


class NewTeam(Request):
    """A team to be made."""

    id: LocalName
    name: Name


class TeamPatch(Request):
    """What to change of a team."""

    name: Name


class PlaceWanted(WithEnd, kw_only=True):
    """How long somebody shall be in a team."""


class TeamRoleView(msgspec.Struct):
    """A role that a team holds."""

    role: str
    granted_at: datetime
    expires_at: datetime | None


class TeamView(msgspec.Struct):
    """A team, with the roles that whoever is in it holds."""

    id: str
    name: str
    created_at: datetime
    roles: list[TeamRoleView]

    @classmethod
    def of(cls, team: Team, now: datetime) -> "TeamView":
        """Return the team with the roles that are in force."""
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
    """A member of the organization who is in a team; the times are those of the place in it."""

    user: str
    email: str | None
    name: str | None
    status: str
    joined_at: datetime
    expires_at: datetime | None

    @classmethod
    def of(cls, member: Membership, place: TeamMembership) -> "TeamMemberView":
        """Return a member with their place."""
        return cls(
            user=member.user_id,
            email=member.user.email,
            name=member.user.name,
            status=member.status,
            joined_at=place.joined_at,
            expires_at=place.expires_at,
        )

    @classmethod
    def listed(cls, seated: TeamMemberEntry) -> "TeamMemberView":
        """Return one of a list."""
        return cls(
            user=seated.user_id,
            email=seated.email,
            name=seated.name,
            status=MembershipStatus.of(seated.suspended_at),
            joined_at=seated.joined_at,
            expires_at=seated.expires_at,
        )
