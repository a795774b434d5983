"""Whom a command is about."""

from teamaccess.invitations.find import refuse_invited
from teamaccess.ledger import clock
from teamaccess.models import OrganizationId, UserId
from teamaccess.service import Service
from teamaccess.users.find import UnknownUser, find_user


async def whom(service: Service, organization: str, id_or_email: str) -> UserId:
    """Return who is meant; raises UnknownUser, and NotAcceptedYet for who is only invited there."""
    async with service.reads() as session:
        try:
            return (await find_user(session, id_or_email)).id
        except UnknownUser:
            here, now = OrganizationId(organization), await clock(session)
            await refuse_invited(session, here, id_or_email, now)
            raise
