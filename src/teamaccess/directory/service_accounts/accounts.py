"""Create service accounts, find them, and delete them."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from sqlalchemy import literal, select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.access.authorize import Ends, Gift, authorize_giving, gift_of_roles
from teamaccess.access.holdings import Target, custom_among, member_target, role_set_in
from teamaccess.changes import OrganizationChange
from teamaccess.changes.caps import refuse_full
from teamaccess.changes.events import record
from teamaccess.changes.events.service_accounts import ServiceAccountCreated, ServiceAccountDeleted
from teamaccess.common.errors import NotFound
from teamaccess.common.text import LONGEST_NAME, clean
from teamaccess.directory.members.end import end_memberships
from teamaccess.directory.members.find import find_member
from teamaccess.storage import (
    Membership,
    OrganizationId,
    User,
    UserId,
    new_service_account_id,
)


class UnknownServiceAccount(NotFound):
    """The organization has no such service account."""

    message = "{organization} has no service account {account}."


async def create_service_account(
    change: OrganizationChange, name: str, roles: Ends, id: UserId | None = None
) -> Membership:
    """Create a service account with these roles, and return it; it has no token yet.

    A plan gives the `id` that it has shown; other callers get a new one. Raises what `authorize_giving`
    does, InvalidText and LimitReached.
    """
    organization = change.organization
    gift = gift_of_roles(await role_set_in(change, roles), roles.keys(), roles.values())
    await authorize_giving(change, "manage_service_accounts", replace(gift, to_people=False))
    present = (
        select(literal(1))
        .select_from(Membership)
        .join(User, User.id == Membership.user_id)
        .where(Membership.organization_id == organization, User.service_account_of == organization)
    )
    await refuse_full(change, "service_accounts", present)
    account = User(
        id=id or new_service_account_id(),
        name=clean("name", name, LONGEST_NAME),
        service_account_of=organization,
        created_at=change.now,
        tokens_valid_from=change.now,
    )
    member = Membership.begin(organization, account, (), change.now)
    member.replace_roles(roles, change.now, custom=custom_among(change.catalog, roles))
    change.session.add(member)
    ends = {role: end for role, end in roles.items() if end is not None}
    details = ServiceAccountCreated(roles=member.roles, ends=ends)
    await record(change, details, organization, account.id)
    return member


async def delete(change: OrganizationChange, account: UserId) -> None:
    """Delete a service account: its membership, its roles and its tokens.

    Raises what `authorize_on_account` does.
    """
    member = await authorize_on_account(change, account)
    roles = member.roles
    await end_memberships(change, change.organization, [member])
    await record(change, ServiceAccountDeleted(roles=roles), change.organization, account)


async def authorize_on_account(
    change: OrganizationChange, account: UserId, ends: Collection[datetime] = ()
) -> Membership:
    """Return the service account, if the actor may manage it and its tokens with these ends.

    A token lets its holder do everything that the service account can do, so the actor must hold all of
    that, even a service account that manages itself. Raises what `authorize_giving` does,
    UnknownServiceAccount and MemberAboveActor.
    """
    found = await find_account(change.session, change.organization, account)
    target: Target[Membership]
    if found is None:
        refusal = UnknownServiceAccount(account=account, organization=change.organization)
        target = Target(None, refusal)
    else:
        target = await member_target(change, found, exempt_self=False)
    return await authorize_giving(change, "manage_service_accounts", Gift(ends=ends), target)


async def find_account(
    session: AsyncSession, organization: OrganizationId, account: UserId
) -> Membership | None:
    """Return the service account as a member; None if the id is unknown or a person's."""
    member = await find_member(session, organization, account)
    return member if member is not None and member.user.is_service_account else None


async def get_account(
    session: AsyncSession, organization: OrganizationId, account: UserId
) -> Membership:
    """Return the service account as a member; raises UnknownServiceAccount."""
    member = await find_account(session, organization, account)
    if member is None:
        raise UnknownServiceAccount(account=account, organization=organization)
    return member
