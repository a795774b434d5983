"""Find the user that a question names by id or by e-mail address."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.audit.questions.people import find_people
from teamaccess.common.errors import NotFound
from teamaccess.directory.invitations.find import open_invitation
from teamaccess.directory.users.addresses import InvalidEmail, normalise
from teamaccess.directory.users.find import UnknownUser, find_user, resolve_member
from teamaccess.ledger import database_time
from teamaccess.storage import Event, InvitationStatus, OrganizationId, UserId


class NotAcceptedYet(NotFound):
    """The address is invited and belongs to no user yet."""

    message = (
        "{email} is not a user yet. They were invited to {organization} by {invited_by} "
        "({invitation}, open until {until}) and have no access before they accept."
    )


async def resolve_user(
    session: AsyncSession, organization: OrganizationId, id_or_email: str
) -> UserId:
    """Return the id of the user with this id, e-mail address or external id.

    SECURITY: a user who was never a member is found by their id alone. Otherwise its auditors
    could find out which addresses belong to users of other tenants.

    Raises UnknownUser, and NotAcceptedYet for an address with an open invitation to the organization.
    """
    member = await resolve_member(session, organization, id_or_email)
    try:
        found = await find_user(session, member)
        if found.id != member and not await _had_member(session, organization, found.id):
            raise UnknownUser(user=id_or_email)
        return found.id
    except UnknownUser:
        await _refuse_invited(session, organization, id_or_email)
        raise


async def _had_member(session: AsyncSession, organization: OrganizationId, user: UserId) -> bool:
    """Return whether the organization's events are about this user."""
    about = select(Event.position).where(
        Event.chain == organization, Event.subject == f"user:{user}"
    )
    return await session.scalar(about.limit(1)) is not None


async def _refuse_invited(
    session: AsyncSession, organization: OrganizationId, address: str
) -> None:
    """Raise NotAcceptedYet if the address has an invitation that can still be accepted."""
    try:
        invitation = await open_invitation(session, organization, normalise(address))
    except InvalidEmail:
        return
    if invitation is None:
        return
    if invitation.status(await database_time(session)) is not InvitationStatus.PENDING:
        return
    [inviter] = (await find_people(session, [invitation.invited_by])).values()
    raise NotAcceptedYet(
        email=invitation.email,
        organization=organization,
        invited_by=inviter.display_name,
        invitation=invitation.id,
        until=invitation.expires_at.isoformat(timespec="seconds"),
    )
