"""Find the user that a question names by id or by e-mail address."""

from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.audit.questions.people import find_people
from teamaccess.common.errors import NotFound
from teamaccess.directory.invitations.find import open_invitation
from teamaccess.directory.users.addresses import InvalidEmail, normalise
from teamaccess.directory.users.find import UnknownUser, find_user
from teamaccess.ledger import database_time
from teamaccess.storage import InvitationStatus, OrganizationId, UserId


class NotAcceptedYet(NotFound):
    """The address is invited and belongs to no user yet."""

    message = (
        "{email} is not a user yet. They were invited to {organization} by {invited_by} "
        "({invitation}, open until {until}) and have no access before they accept."
    )


async def resolve_user(
    session: AsyncSession, organization: OrganizationId, id_or_email: str
) -> UserId:
    """Return the id of the user with this id or e-mail address.

    Raises UnknownUser, and NotAcceptedYet for an address with an open invitation to the organization.
    """
    try:
        return (await find_user(session, id_or_email)).id
    except UnknownUser:
        await _refuse_invited(session, organization, id_or_email)
        raise


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
