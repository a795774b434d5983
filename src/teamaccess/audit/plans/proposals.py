"""The changes that a plan may propose. Each runs the use case that also makes the real change."""

import asyncio
from datetime import datetime
from typing import Annotated

import msgspec
from sqlalchemy import select

from teamaccess.access.giving import Ends, RoleTwice
from teamaccess.changes import OrganizationChange
from teamaccess.common.errors import Conflict, Invalid
from teamaccess.common.text import LONGEST_NAME, clean
from teamaccess.directory.members import act
from teamaccess.directory.roles.find import find_custom_role
from teamaccess.directory.roles.make import Description, create_role, replace
from teamaccess.directory.roles.remove import delete_role
from teamaccess.directory.teams import act as team_act
from teamaccess.directory.teams import places
from teamaccess.directory.users.addresses import InvalidEmail, normalise
from teamaccess.relationships.relationship import in_utc
from teamaccess.storage import Membership, RoleId, TeamId, User, UserId

MOST = 1000
"""Changes in one plan."""
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
Address = Annotated[str, msgspec.Meta(min_length=1, max_length=254)]
"""A member's id or e-mail address."""
End = Annotated[datetime, msgspec.Meta(tz=True)] | None


LONGEST_SECONDS = 3
"""How long a plan may delay the organization's other changes. Changes in other processes give up after
two seconds (`PATIENCE`), and a caller who plans may have no right to change anything."""


class PlanTakesTooLong(Conflict):
    """The rehearsal holds the organization's lock, and other changes may not wait longer."""

    message = (
        "These changes would block other changes of {organization} for more than {seconds} "
        "seconds. Propose less at once."
    )


class ChangeTwice(Invalid):
    """A plan proposes the same change twice."""

    message = "The change {change} is listed twice. List each change once."


class Proposed(msgspec.Struct, tag_field="change", forbid_unknown_fields=True, frozen=True):
    """One proposed change."""

    async def make(self, change: OrganizationChange) -> None:
        """Make it in an open change. Raises what the use case does."""
        raise NotImplementedError


class RoleUntil(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A role with an optional expiry."""

    role: Name
    expires_at: End = None

    def __post_init__(self) -> None:
        """Raise ValueError, which msgspec reports as invalid input, for a time beyond the calendar."""
        _in_calendar(self.expires_at)


ProposedRoles = Annotated[list[Name | RoleUntil], msgspec.Meta(max_length=100)]


class SetRoles(Proposed, tag="set_roles", frozen=True):
    """A member holds exactly these roles."""

    user: Address
    roles: ProposedRoles

    async def make(self, change: OrganizationChange) -> None:
        """Replace the roles."""
        member = await resolve_member(change, self.user)
        await act.change_member_roles(change, member, _ends(self.roles))


class Suspend(Proposed, tag="suspend", frozen=True):
    """A member can do nothing and keeps their roles."""

    user: Address

    async def make(self, change: OrganizationChange) -> None:
        """Suspend the member."""
        member = await resolve_member(change, self.user)
        await act.suspend(change, member)


class Reactivate(Proposed, tag="reactivate", frozen=True):
    """A suspended member is active again, with their roles."""

    user: Address

    async def make(self, change: OrganizationChange) -> None:
        """Reactivate the member."""
        member = await resolve_member(change, self.user)
        await act.reactivate(change, member)


class Remove(Proposed, tag="remove", frozen=True):
    """A member is removed."""

    user: Address

    async def make(self, change: OrganizationChange) -> None:
        """Remove the member."""
        member = await resolve_member(change, self.user)
        await act.remove_member(change, member)


class SetRole(Proposed, tag="set_role", frozen=True):
    """A custom role has exactly these actions. It is created if it does not exist."""

    role: Name
    actions: Annotated[list[Name], msgspec.Meta(max_length=500)]
    name: Annotated[str, msgspec.Meta(max_length=100)] | None = None

    async def make(self, change: OrganizationChange) -> None:
        """Create the role, or replace its actions."""
        id = RoleId(self.role)
        own = await find_custom_role(change.session, change.organization, id)
        name = self.name if self.name is not None else own.name if own else self.role
        about = Description(clean("name", name, LONGEST_NAME), own.description if own else None)
        if own is None:
            await create_role(change, self.role, about, self.actions)
        else:
            await replace(change, id, about, self.actions)


class DeleteRole(Proposed, tag="delete_role", frozen=True):
    """A custom role is deleted. Its holders get the role `reassign`; with `none` they get no other."""

    role: Name
    reassign: Name | None = None

    async def make(self, change: OrganizationChange) -> None:
        """Delete the role."""
        await delete_role(change, RoleId(self.role), self.reassign)


class SetTeamRoles(Proposed, tag="set_team_roles", frozen=True):
    """A team holds exactly these roles."""

    team: Name
    roles: ProposedRoles

    async def make(self, change: OrganizationChange) -> None:
        """Replace the roles."""
        await team_act.change_team_roles(change, TeamId(self.team), _ends(self.roles))


class PutInTeam(Proposed, tag="put_in_team", frozen=True):
    """A member is in a team."""

    team: Name
    user: Address
    expires_at: End = None

    def __post_init__(self) -> None:
        """Raise ValueError, which msgspec reports as invalid input, for a time beyond the calendar."""
        _in_calendar(self.expires_at)

    async def make(self, change: OrganizationChange) -> None:
        """Put the member into the team."""
        member = await resolve_member(change, self.user)
        await places.put(change, TeamId(self.team), member, self.expires_at)


class TakeFromTeam(Proposed, tag="take_from_team", frozen=True):
    """A member leaves a team."""

    team: Name
    user: Address

    async def make(self, change: OrganizationChange) -> None:
        """Take the member out of the team."""
        member = await resolve_member(change, self.user)
        await places.take(change, TeamId(self.team), member)


Proposal = (
    SetRoles
    | Suspend
    | Reactivate
    | Remove
    | SetRole
    | DeleteRole
    | SetTeamRoles
    | PutInTeam
    | TakeFromTeam
)
Proposals = Annotated[list[Proposal], msgspec.Meta(max_length=MOST)]


async def make_all(proposals: list[Proposal], change: OrganizationChange) -> None:
    """Make the proposed changes in their order.

    A plan and a real change have the same time limit, because the organization's other changes wait for
    both. Raises ChangeTwice, PlanTakesTooLong, and what the use cases do.
    """
    seen = set()
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            for proposal in proposals:
                text = msgspec.json.encode(proposal).decode()
                if text in seen:
                    raise ChangeTwice(change=text)
                seen.add(text)
                await proposal.make(change)
                await change.session.flush()
    except TimeoutError as late:
        raise PlanTakesTooLong(organization=change.organization, seconds=LONGEST_SECONDS) from late


async def resolve_member(change: OrganizationChange, id_or_email: str) -> UserId:
    """Return the id of the member with this e-mail address; anything else is returned unchanged.

    SECURITY: an error here would tell an actor without rights which addresses are members. The use case
    raises it instead, after it has authorized the actor.
    """
    try:
        address = normalise(id_or_email)
    except InvalidEmail:
        return UserId(id_or_email)
    member: UserId | None = await change.session.scalar(
        select(User.id)
        .join(Membership, Membership.user_id == User.id)
        .where(Membership.organization_id == change.organization, User.email == address)
    )
    return member if member is not None else UserId(id_or_email)


def _in_calendar(end: datetime | None) -> None:
    if end is not None:
        in_utc(end)


def _ends(roles: ProposedRoles) -> Ends:
    ends: dict[RoleId, datetime | None] = {}
    for proposed in roles:
        role = proposed if isinstance(proposed, str) else proposed.role
        if role in ends:
            raise RoleTwice(role=role)
        ends[RoleId(role)] = None if isinstance(proposed, str) else proposed.expires_at
    return ends
