"""Whom a command is about."""

from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.audit.questions.people import people
from teamaccess.common.errors import NotFound
from teamaccess.directory.invitations.find import open_invitation
from teamaccess.directory.users.addresses import InvalidEmail, normalise
from teamaccess.directory.users.find import UnknownUser, find_user
from teamaccess.ledger import database_time
from teamaccess.service import Service
from teamaccess.storage import InvitationStatus, OrganizationId, UserId


class NotAcceptedYet(NotFound):
    """The address is invited and belongs to no user yet."""

    message = (
        "{email} is not a user yet. They were invited to {organization} by {invited_by} "
        "({invitation}, open until {until}) and have no access before they accept."
    )


async def whom(service: Service, organization: str, id_or_email: str) -> UserId:
    """Return who is meant; raises UnknownUser, and NotAcceptedYet for who is only invited there."""
    async with service.reads() as session:
        try:
            return (await find_user(session, id_or_email)).id
        except UnknownUser:
            await _refuse_invited(session, OrganizationId(organization), id_or_email)
            raise


async def _refuse_invited(
    session: AsyncSession, organization: OrganizationId, address: str
) -> None:
    """Raise NotAcceptedYet where the address has an invitation that can still be accepted."""
    try:
        offered = await open_invitation(session, organization, normalise(address))
    except InvalidEmail:
        return
    if (
        offered is None
        or offered.status(await database_time(session)) is not InvitationStatus.PENDING
    ):
        return
    [inviter] = (await people(session, [offered.invited_by])).values()
    raise NotAcceptedYet(
        email=offered.email,
        organization=organization,
        invited_by=inviter.called,
        invitation=offered.id,
        until=offered.expires_at.isoformat(timespec="seconds"),
    )
