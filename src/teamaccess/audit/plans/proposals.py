"""What may be proposed to an organization: each is one use case, made as it is made for real."""

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
from teamaccess.directory.roles.make import Description, make, replace
from teamaccess.directory.roles.remove import remove
from teamaccess.directory.teams import act as team_act
from teamaccess.directory.teams import places
from teamaccess.directory.users.addresses import InvalidEmail, normalise
from teamaccess.relationships.relationship import in_utc
from teamaccess.storage import Membership, RoleId, TeamId, User, UserId

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
    """The rehearsal holds the organization's lock, and other changes may not wait longer."""

    message = (
        "These changes would block other changes of {organization} for more than {seconds} "
        "seconds. Propose less at once."
    )


class ChangeTwice(Invalid):
    """A plan proposes the same change twice."""

    message = "The change {change} is listed twice. List each change once."


class Proposed(msgspec.Struct, tag_field="change", forbid_unknown_fields=True, frozen=True):
    """One change that somebody proposes."""

    async def make(self, change: OrganizationChange) -> None:
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

    async def make(self, change: OrganizationChange) -> None:
        """Replace the roles."""
        user = await member_named(change, self.user)
        await act.change_roles(change, user, _ends(self.roles))


class Suspend(Proposed, tag="suspend", frozen=True):
    """A member can do nothing, and keeps the roles."""

    user: Address

    async def make(self, change: OrganizationChange) -> None:
        """Suspend them."""
        user = await member_named(change, self.user)
        await act.suspend(change, user)


class Reactivate(Proposed, tag="reactivate", frozen=True):
    """A suspended member has everything back."""

    user: Address

    async def make(self, change: OrganizationChange) -> None:
        """Reactivate them."""
        user = await member_named(change, self.user)
        await act.reactivate(change, user)


class Remove(Proposed, tag="remove", frozen=True):
    """A membership ends."""

    user: Address

    async def make(self, change: OrganizationChange) -> None:
        """Remove them."""
        user = await member_named(change, self.user)
        await act.remove(change, user)


class SetRole(Proposed, tag="set_role", frozen=True):
    """A role of the organization's own allows exactly these actions, whether there is one or not."""

    role: Name
    actions: Annotated[list[Name], msgspec.Meta(max_length=500)]
    name: Annotated[str, msgspec.Meta(max_length=100)] | None = None

    async def make(self, change: OrganizationChange) -> None:
        """Make the role, or replace what it allows."""
        id = RoleId(self.role)
        own = await find_custom_role(change.session, change.organization, id)
        name = self.name if self.name is not None else own.name if own else self.role
        about = Description(clean("name", name, LONGEST_NAME), own.description if own else None)
        if own is None:
            await make(change, self.role, about, self.actions)
        else:
            await replace(change, id, about, self.actions)


class DeleteRole(Proposed, tag="delete_role", frozen=True):
    """A role of the organization's own ends; its holders get another one, or `none`."""

    role: Name
    reassign: Name | None = None

    async def make(self, change: OrganizationChange) -> None:
        """Delete the role."""
        await remove(change, RoleId(self.role), self.reassign)


class SetTeamRoles(Proposed, tag="set_team_roles", frozen=True):
    """A team holds exactly these roles."""

    team: Name
    roles: Wanted

    async def make(self, change: OrganizationChange) -> None:
        """Replace the roles."""
        await team_act.change_roles(change, TeamId(self.team), _ends(self.roles))


class PutInTeam(Proposed, tag="put_in_team", frozen=True):
    """A member is in a team."""

    team: Name
    user: Address
    expires_at: End = None

    def __post_init__(self) -> None:
        """Raise ValueError, which is a mistake in what was sent, for a time beyond the calendar."""
        _in_calendar(self.expires_at)

    async def make(self, change: OrganizationChange) -> None:
        """Put them there."""
        user = await member_named(change, self.user)
        await places.put(change, TeamId(self.team), user, self.expires_at)


class TakeFromTeam(Proposed, tag="take_from_team", frozen=True):
    """A member is in a team no more."""

    team: Name
    user: Address

    async def make(self, change: OrganizationChange) -> None:
        """Take them out."""
        user = await member_named(change, self.user)
        await places.take(change, TeamId(self.team), user)


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
                await each.make(change)
                await change.session.flush()
    except TimeoutError as late:
        raise PlanTakesTooLong(organization=change.organization, seconds=LONGEST_SECONDS) from late


async def member_named(change: OrganizationChange, id_or_email: str) -> UserId:
    """Return the id of the member with this e-mail address; what is nobody's is returned as it is.

    Whether there is such a member the use case tells, and nobody whom it has not judged first.
    """
    try:
        address = normalise(id_or_email)
    except InvalidEmail:
        return UserId(id_or_email)
    found: UserId | None = await change.session.scalar(
        select(User.id)
        .join(Membership, Membership.user_id == User.id)
        .where(Membership.organization_id == change.organization, User.email == address)
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
