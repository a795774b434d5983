"""Find the user that a question names by id, by e-mail address or by external id."""

from sqlalchemy import ARRAY, Text, any_, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.audit.questions.people import find_people
from teamaccess.common.errors import NotFound
from teamaccess.directory.invitations.find import open_invitation
from teamaccess.directory.users.addresses import InvalidEmail, normalize_email
from teamaccess.directory.users.find import (
    UnknownUser,
    is_named,
    is_possible_reference,
    resolve_member,
)
from teamaccess.ledger import database_time
from teamaccess.storage import Event, InvitationStatus, Membership, OrganizationId, User, UserId


class NotAcceptedYet(NotFound):
    """The address is invited and belongs to no user yet."""

    message = (
        "{email} is not a user yet. They were invited to {organization} by {invited_by} "
        "({invitation}, open until {until}) and have no access before they accept."
    )


async def resolve_user(session: AsyncSession, organization: OrganizationId, name: str) -> UserId:
    """Return the id of the user with this name, as `is_named` reads it.

    SECURITY: only present and past members of the organization are found by an address or an external
    id. Otherwise its auditors could find out who belongs to other tenants. Anybody is found by their id:
    ids are random, so nobody finds one by trying.

    Raises UnknownUser, and NotAcceptedYet for an address with an open invitation to the organization.
    """
    if not is_possible_reference(name):
        raise UnknownUser(user=name)
    member = await resolve_member(session, organization, name)
    if member != name or await _is_member(session, organization, member):
        return member
    past = await _past_member(session, organization, name)
    if past is not None:
        return past
    await _refuse_invited(session, organization, name)
    if await session.get(User, UserId(name)) is None:
        raise UnknownUser(user=name)
    return UserId(name)


async def _is_member(session: AsyncSession, organization: OrganizationId, user: UserId) -> bool:
    found = await session.scalar(
        select(Membership.user_id).where(
            Membership.organization_id == organization, Membership.user_id == user
        )
    )
    return found is not None


async def _past_member(
    session: AsyncSession, organization: OrganizationId, name: str
) -> UserId | None:
    """Return the user with this id, address or external id if the organization's events name them.

    SECURITY: the events are searched even if nobody has the name. So a name of another tenant's user
    takes the same statement and the same time as a name that nobody has.
    """
    named = select(func.concat("user:", User.id)).where(is_named(name))
    subjects = func.array(named.scalar_subquery(), type_=ARRAY(Text))
    about = select(Event.subject).where(
        Event.chain == organization, Event.subject == any_(subjects)
    )
    found = await session.scalar(about.limit(1))
    if found is None:
        return None
    user = UserId(found.removeprefix("user:"))
    # SECURITY: an address that they took on after they left must not lead to them (`find_people`)
    is_shown = (await find_people(session, organization, [user]))[user].email is not None
    return user if is_shown or not _is_address(name) else None


def _is_address(name: str) -> bool:
    try:
        normalize_email(name)
    except InvalidEmail:
        return False
    return True


async def _refuse_invited(
    session: AsyncSession, organization: OrganizationId, address: str
) -> None:
    """Raise NotAcceptedYet if the address has an invitation that can still be accepted."""
    try:
        invitation = await open_invitation(session, organization, normalize_email(address))
    except InvalidEmail:
        return
    if invitation is None:
        return
    if invitation.status(await database_time(session)) is not InvitationStatus.PENDING:
        return
    [inviter] = (await find_people(session, organization, [invitation.invited_by])).values()
    raise NotAcceptedYet(
        email=invitation.email,
        organization=organization,
        invited_by=inviter.display_name,
        invitation=invitation.id,
        until=invitation.expires_at.isoformat(timespec="seconds"),
    )
