"""What may be proposed to an organization: each is one use case, made as it is made for real."""

import asyncio
from datetime import datetime
from typing import Annotated

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.access.giving import Ends, RoleTwice
from teamaccess.changes import Change
from teamaccess.common.errors import Conflict, Invalid
from teamaccess.common.text import LONGEST_NAME, clean
from teamaccess.directory.members import act
from teamaccess.directory.roles.find import find_own
from teamaccess.directory.roles.make import Description, make, replace
from teamaccess.directory.roles.remove import remove
from teamaccess.directory.teams import act as team_act
from teamaccess.directory.teams import places
from teamaccess.directory.users.addresses import InvalidEmail, normalise
from teamaccess.relationships.expiration import in_utc
from teamaccess.storage import Membership, OrganizationId, RoleId, TeamId, User, UserId

MOST = 1000
"""Changes that are proposed together."""
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
Address = Annotated[str, msgspec.Meta(min_length=1, max_length=254)]
"""A member's id or e-mail address."""
End = Annotated[datetime, msgspec.Meta(tz=True)] | None


LONGEST_SECONDS = 3
"""How long the organization's other changes wait for these: other processes' give up after two
(`PATIENCE`), and a caller who plans need not be allowed to change anything."""


class PlanTakesTooLong(Conflict):
    """The other changes of {organization} would wait for more than {seconds} seconds for these. \
    Propose less at once."""


class ChangeTwice(Invalid):
    """The same change is named twice: {change}. Name each once."""


class Proposed(msgspec.Struct, tag_field="change", forbid_unknown_fields=True, frozen=True):
    """One change that somebody proposes."""

    async def make(self, change: Change, actor: UserId, organization: OrganizationId) -> None:
        """Make it in an open change; raises what the use case does."""
        raise NotImplementedError


class Until(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A role until a time."""

    role: Name
    expires_at: End = None

    def __post_init__(self) -> None:
        """Raise ValueError, which is a mistake in what was sent, for a time beyond the calendar."""
        _in_calendar(self.expires_at)


Wanted = Annotated[list[Name | Until], msgspec.Meta(max_length=100)]


class SetRoles(Proposed, tag="set_roles", frozen=True):
    """A member holds exactly these roles."""

    user: Address
    roles: Wanted

    async def make(self, change: Change, actor: UserId, organization: OrganizationId) -> None:
        """Replace the roles."""
        whom = await member_named(change.session, organization, self.user)
        await act.change_roles(change, actor, organization, whom, _ends(self.roles))


class Suspend(Proposed, tag="suspend", frozen=True):
    """A member can do nothing, and keeps the roles."""

    user: Address

    async def make(self, change: Change, actor: UserId, organization: OrganizationId) -> None:
        """Suspend them."""
        whom = await member_named(change.session, organization, self.user)
        await act.suspend(change, actor, organization, whom)


class Reactivate(Proposed, tag="reactivate", frozen=True):
    """A suspended member has everything back."""

    user: Address

    async def make(self, change: Change, actor: UserId, organization: OrganizationId) -> None:
        """Reactivate them."""
        whom = await member_named(change.session, organization, self.user)
        await act.reactivate(change, actor, organization, whom)


class Remove(Proposed, tag="remove", frozen=True):
    """A membership ends."""

    user: Address

    async def make(self, change: Change, actor: UserId, organization: OrganizationId) -> None:
        """Remove them."""
        whom = await member_named(change.session, organization, self.user)
        await act.remove(change, actor, organization, whom)


class SetRole(Proposed, tag="set_role", frozen=True):
    """A role of the organization's own allows exactly these actions, whether there is one or not."""

    role: Name
    actions: Annotated[list[Name], msgspec.Meta(max_length=500)]
    name: Annotated[str, msgspec.Meta(max_length=100)] | None = None

    async def make(self, change: Change, actor: UserId, organization: OrganizationId) -> None:
        """Make the role, or replace what it allows."""
        id = RoleId(self.role)
        own = await find_own(change.session, organization, id)
        name = self.name if self.name is not None else own.name if own else self.role
        about = Description(clean("name", name, LONGEST_NAME), own.description if own else None)
        if own is None:
            await make(change, actor, organization, self.role, about, self.actions)
        else:
            await replace(change, actor, organization, id, about, self.actions)


class DeleteRole(Proposed, tag="delete_role", frozen=True):
    """A role of the organization's own ends; its holders get another one, or `none`."""

    role: Name
    reassign: Name | None = None

    async def make(self, change: Change, actor: UserId, organization: OrganizationId) -> None:
        """Delete the role."""
        await remove(change, actor, organization, RoleId(self.role), self.reassign)


class SetTeamRoles(Proposed, tag="set_team_roles", frozen=True):
    """A team holds exactly these roles."""

    team: Name
    roles: Wanted

    async def make(self, change: Change, actor: UserId, organization: OrganizationId) -> None:
        """Replace the roles."""
        await team_act.change_roles(
            change, actor, organization, TeamId(self.team), _ends(self.roles)
        )


class PutInTeam(Proposed, tag="put_in_team", frozen=True):
    """A member is in a team."""

    team: Name
    user: Address
    expires_at: End = None

    def __post_init__(self) -> None:
        """Raise ValueError, which is a mistake in what was sent, for a time beyond the calendar."""
        _in_calendar(self.expires_at)

    async def make(self, change: Change, actor: UserId, organization: OrganizationId) -> None:
        """Put them there."""
        whom = await member_named(change.session, organization, self.user)
        await places.put(change, actor, organization, TeamId(self.team), whom, self.expires_at)


class TakeFromTeam(Proposed, tag="take_from_team", frozen=True):
    """A member is in a team no more."""

    team: Name
    user: Address

    async def make(self, change: Change, actor: UserId, organization: OrganizationId) -> None:
        """Take them out."""
        whom = await member_named(change.session, organization, self.user)
        await places.take(change, actor, organization, TeamId(self.team), whom)


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


async def make_all(
    proposals: list[Proposal], change: Change, actor: UserId, organization: OrganizationId
) -> None:
    """Make them in their order, each on what the ones before it have made.

    Planned or made for real, they take the same time at most, for the organization's other changes wait.
    Raises ChangeTwice and PlanTakesTooLong.
    """
    known = set()
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            for each in proposals:
                told = msgspec.json.encode(each).decode()
                if told in known:
                    raise ChangeTwice(change=told)
                known.add(told)
                await each.make(change, actor, organization)
                await change.session.flush()
    except TimeoutError as late:
        raise PlanTakesTooLong(organization=organization, seconds=LONGEST_SECONDS) from late


async def member_named(
    session: AsyncSession, organization: OrganizationId, id_or_email: str
) -> UserId:
    """Return the id of the member with this e-mail address; what is nobody's is returned as it is.

    Whether there is such a member the use case tells, and nobody whom it has not judged first.
    """
    try:
        address = normalise(id_or_email)
    except InvalidEmail:
        return UserId(id_or_email)
    found: UserId | None = await session.scalar(
        select(User.id)
        .join(Membership, Membership.user_id == User.id)
        .where(Membership.organization_id == organization, User.email == address)
    )
    return found if found is not None else UserId(id_or_email)


def _in_calendar(end: datetime | None) -> None:
    if end is not None:
        in_utc(end)


def _ends(wanted: Wanted) -> Ends:
    ends: dict[RoleId, datetime | None] = {}
    for each in wanted:
        role = each if isinstance(each, str) else each.role
        if role in ends:
            raise RoleTwice(role=role)
        ends[RoleId(role)] = None if isinstance(each, str) else each.expires_at
    return ends
