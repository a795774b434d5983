"""Operations on teams and on places in them."""

from collections.abc import Sequence
from typing import Self

from teamaccess.audit.plans.operations.base import (
    DisplayName,
    End,
    LocalId,
    PlanContext,
    Proposed,
    ProposedRoles,
    UserReference,
    ends_by_role,
    find_user_id,
)
from teamaccess.changes import OrganizationChange
from teamaccess.common.errors import naming_item
from teamaccess.directory.teams import act, places
from teamaccess.storage import TeamId


class CreateTeam(Proposed, tag="create_team", frozen=True):
    """A team without members and roles is created."""

    team: LocalId
    name: DisplayName | None = None

    async def make(self, change: OrganizationChange, context: PlanContext) -> None:
        """Create the team. Its name is its id by default."""
        await act.create_team(change, self.team, self.name or self.team)


class RenameTeam(Proposed, tag="rename_team", frozen=True):
    """A team gets another name."""

    team: LocalId
    name: DisplayName

    async def make(self, change: OrganizationChange, context: PlanContext) -> None:
        """Rename the team."""
        await act.rename_team(change, TeamId(self.team), self.name)


class DeleteTeam(Proposed, tag="delete_team", frozen=True):
    """A team is deleted, with everything that its members had through it."""

    team: LocalId

    async def make(self, change: OrganizationChange, context: PlanContext) -> None:
        """Delete the team."""
        await act.delete_team(change, TeamId(self.team))


class SetTeamRoles(Proposed, tag="set_team_roles", frozen=True):
    """A team holds exactly these roles."""

    team: LocalId
    roles: ProposedRoles

    async def make(self, change: OrganizationChange, context: PlanContext) -> None:
        """Replace the roles."""
        await act.change_team_roles(change, TeamId(self.team), ends_by_role(self.roles))


class PutInTeam(Proposed, tag="put_in_team", frozen=True):
    """A member joins a team, or their place in it gets another end."""

    team: LocalId
    user: UserReference
    expires_at: End = None

    async def make(self, change: OrganizationChange, context: PlanContext) -> None:
        """Put the member into the team."""
        await self.make_consecutive([self], change, context)

    @classmethod
    async def make_consecutive(
        cls, run: Sequence[Self], change: OrganizationChange, context: PlanContext
    ) -> None:
        """Put all the members into their teams."""
        operations = []
        for number, each in enumerate(run, start=context.number + 1):
            with naming_item(number):
                member = await find_user_id(change, each.user)
            operations.append(places.PlaceOperation(TeamId(each.team), member, each.expires_at))
        await places.put_each(change, operations, first=context.number + 1)


class TakeFromTeam(Proposed, tag="take_from_team", frozen=True):
    """A member leaves a team."""

    team: LocalId
    user: UserReference

    async def make(self, change: OrganizationChange, context: PlanContext) -> None:
        """Take the member out of the team."""
        member = await find_user_id(change, self.user)
        await places.take(change, TeamId(self.team), member)
