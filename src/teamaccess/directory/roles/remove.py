"""Delete a custom role."""

from dataclasses import asdict, replace

from teamaccess.access.authorize import NO_GIFT, authorize_giving, gift_of_roles
from teamaccess.access.holdings import role_set_in
from teamaccess.changes import OrganizationChange
from teamaccess.changes.events import record
from teamaccess.changes.events.roles import RoleDeleted
from teamaccess.common.errors import Conflict, Invalid
from teamaccess.directory.roles.holders import Holders, holders_of
from teamaccess.directory.roles.ids import NOBODY
from teamaccess.directory.roles.make import role_target
from teamaccess.directory.roles.reassign import give_instead, offer_instead, take_away
from teamaccess.directory.withdrawals import withdraw_with_role
from teamaccess.storage import RoleId

MANY = 200
"""A change about this many holders fits into one ledger position."""


class RoleInUse(Conflict):
    """The role to be deleted is held, offered or requested, and the request names no replacement."""

    message = (
        "The role {role} is in use: by {members:member}, {teams:team}, {invitations:invitation} "
        "and {access_requests:access request}. Name the role that replaces it, or "
        "`none`."
    )


class ReassignedToItself(Invalid):
    """The role to be deleted is named as its own replacement."""

    message = "The role {role} can't replace itself. Name another role, or `none`."


async def delete_role(change: OrganizationChange, id: RoleId, instead: str | None = None) -> None:
    """Delete a role; its holders get the role `instead`, or nothing if that is `none`.

    Nothing of the role remains in SpiceDB. To give the holders another role, the actor must hold
    all of it. Raises what `authorize_giving` does, RoleNotFound, PredefinedRole, RoleAboveActor,
    ReassignedToItself, and RoleInUse for a role with holders if `instead` is missing.
    """
    to = RoleId(instead) if instead not in (None, NOBODY) else None
    holders = (await holders_of(change.session, change.organization, [id], change.now))[id]
    gift = NO_GIFT
    if to is not None and to != id:
        role_set = await role_set_in(change, [to])
        gift = gift_of_roles(role_set, [to], to_team=holders.teams > 0)
        gift = replace(gift, to_people=False)  # its holders may be the actor or service accounts
    role = await authorize_giving(change, "manage_roles", gift, await role_target(change, id))
    if instead is None and holders:
        raise RoleInUse(role=id, **asdict(holders))
    if to == id:
        raise ReassignedToItself(role=id)
    if to is not None:
        await _reassign(change, id, to, holders)
    await take_away(change, id)
    await offer_instead(change, id, to)
    await withdraw_with_role(change, change.organization, id)
    await change.session.delete(role)
    details = RoleDeleted(actions=sorted(role.actions), instead=to, **asdict(holders))
    await record(change, details, change.organization, id)


async def _reassign(change: OrganizationChange, id: RoleId, to: RoleId, holders: Holders) -> None:
    """Give the holders the other role, before the deleted role ends.

    A change of several positions starts with those that only take something away, here the role's own
    actions. The last of many holders would then have neither role until their position arrives. So the
    replacement is recorded first, in positions of its own.
    """
    await give_instead(change, id, to, custom=to not in change.catalog.roles)
    if holders.members + holders.teams > MANY:
        await take_away(change, id)
        await change.decide()
