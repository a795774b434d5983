"""Delete a role of an organization's own."""

from dataclasses import asdict

from teamaccess.access.giving import refuse_beyond, refuse_operator_only
from teamaccess.access.role_set import role_set_of
from teamaccess.access.team_rules import refuse_not_for_teams
from teamaccess.changes import Change
from teamaccess.changes.events import record
from teamaccess.common.errors import Conflict, Invalid
from teamaccess.directory.roles.holders import Holders, holders_of
from teamaccess.directory.roles.ids import NOBODY
from teamaccess.directory.roles.make import authorize_edit
from teamaccess.directory.roles.reassign import give_instead, offer_instead, take_away
from teamaccess.directory.withdrawals import withdraw_with_role
from teamaccess.storage import OrganizationId, RoleId, UserId

MANY = 200
"""Holders that certainly pass from one role to the other in one position with the role's end."""


class RoleInUse(Conflict):
    """The role {role} is in use: {members} members and {teams} teams hold it, {invitations} invitations offer it, {access_requests} requests ask for it. Say which role they get instead, or `none`."""  # noqa: E501 - a sentence is one line


class ReassignedToItself(Invalid):
    """The holders of {role} cannot get it instead of itself."""


async def remove(
    change: Change,
    actor: UserId,
    organization: OrganizationId,
    id: RoleId,
    instead: str | None = None,
) -> None:
    """Delete a role, `instead` giving its holders another one, or `none`.

    Nothing of it remains in the graph. Giving another one is giving: the actor must hold all of it.
    Raises what `authorize_edit` does, RoleInUse where `instead` is not said, ReassignedToItself,
    UnknownRole, OperatorOnlyRole, RoleBeyondGiver and RoleNotForTeams.
    """
    to = RoleId(instead) if instead not in (None, NOBODY) else None
    targets = [to] if to is not None else []
    known = await role_set_of(change.session, change.catalog, organization, targets)
    giving = known.actions_of(targets)
    role, held = await authorize_edit(change, actor, organization, id, giving)
    holders = (await holders_of(change.session, organization, [id], change.now))[id]
    if instead is None and holders:
        raise RoleInUse(role=id, **asdict(holders))
    known.refuse_unknown(targets)
    if to is not None:
        if to == id:
            raise ReassignedToItself(role=id)
        refuse_operator_only(change, targets, known)
        refuse_beyond(giving, held)
        if holders.teams:
            refuse_not_for_teams(targets, known)
        await _pass_on(change, organization, id, to, holders, custom=to in known.own)
    await take_away(change, organization, id)
    await offer_instead(change, organization, id, to)
    await withdraw_with_role(change, organization, id)
    await change.session.delete(role)
    told = {"actions": sorted(role.actions), "instead": to, **asdict(holders)}
    await record(change, "role_deleted", organization, f"role:{id}", **told)


async def _pass_on(
    change: Change,
    organization: OrganizationId,
    id: RoleId,
    to: RoleId,
    holders: Holders,
    *,
    custom: bool,
) -> None:
    """Give the other role first, where the role itself will end in a later position.

    What takes several positions begins with what only takes away, and so would leave those whose turn
    comes later without either role meanwhile.
    """
    await give_instead(change, organization, id, to, custom=custom)
    if holders.members + holders.teams > MANY:
        await take_away(change, organization, id)
        await change.decide()
