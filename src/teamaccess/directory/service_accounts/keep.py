"""Make service accounts, find them, and end them."""

from sqlalchemy import literal, select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.access.authorize import authorize
from teamaccess.access.giving import Ends, refuse_bad_end, refuse_beyond, refuse_operator_only
from teamaccess.access.holdings import actions_held
from teamaccess.access.member_rules import refuse_above
from teamaccess.access.role_set import role_set_of
from teamaccess.changes import Change
from teamaccess.changes.events import record
from teamaccess.common.errors import NotFound
from teamaccess.common.text import LONGEST_NAME, clean
from teamaccess.directory.caps import refuse_full
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
    """There is no service account {account} in {organization}."""


async def create(
    change: Change, actor: UserId, organization: OrganizationId, name: str, roles: Ends
) -> Membership:
    """Make a machine a member with these roles, and return it; it has no token yet.

    Raises what `roles.rules` says of giving, UnknownRole, InvalidText and LimitReached.
    """
    known = await role_set_of(change.session, change.catalog, organization, roles)
    giving = known.actions_of(roles)
    held = await authorize(change, actor, organization, "manage_service_accounts", holding=giving)
    known.refuse_unknown(roles)
    for until in roles.values():
        refuse_bad_end(change.catalog, until, change.now)
    refuse_operator_only(change, roles, known)
    refuse_beyond(giving, held)
    present = (
        select(literal(1))
        .select_from(Membership)
        .join(User, User.id == Membership.user_id)
        .where(Membership.organization_id == organization, User.service_account_of == organization)
    )
    await refuse_full(change, organization, "service_accounts", present)
    account = User(
        id=new_service_account_id(),
        name=clean("name", name, LONGEST_NAME),
        service_account_of=organization,
        created_at=change.now,
        tokens_valid_from=change.now,
    )
    member = Membership.begin(organization, account, (), change.now)
    member.replace_roles(roles, change.now, custom=known.are_custom(roles))
    change.session.add(member)
    ends = {role: until.isoformat() for role, until in roles.items() if until is not None}
    about = f"user:{account.id}"
    await record(
        change, "service_account_created", organization, about, roles=member.roles, ends=ends
    )
    return member


async def delete(
    change: Change, actor: UserId, organization: OrganizationId, account: UserId
) -> None:
    """End a service account: its membership, its roles and its tokens."""
    member = await under(change, actor, organization, account)
    roles = member.roles
    await end_memberships(change, organization, [member])
    await record(change, "service_account_deleted", organization, f"user:{account}", roles=roles)


async def under(
    change: Change, actor: UserId, organization: OrganizationId, account: UserId
) -> Membership:
    """Return the service account, if the actor may manage it.

    Whoever makes a token for a machine can do all that the machine can, so they must hold all of it;
    and nobody acts on what is above them. Raises UnknownServiceAccount and MemberAboveActor.
    """
    member = await find_account(change.session, organization, account)
    theirs = await actions_held(change, member) if member else frozenset()
    held = await authorize(change, actor, organization, "manage_service_accounts", holding=theirs)
    if member is None:
        raise UnknownServiceAccount(account=account, organization=organization)
    refuse_above(member, theirs, held)
    return member


async def find_account(
    session: AsyncSession, organization: OrganizationId, account: UserId
) -> Membership | None:
    """Return the service account as a member, or None; a person is none."""
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
