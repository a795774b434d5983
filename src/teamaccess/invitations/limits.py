"""How many mails an organization may cause, and how many one address must bear."""

from datetime import timedelta

from sqlalchemy import ColumnElement, func, select

from teamaccess.errors import TooMany
from teamaccess.ledger import Change
from teamaccess.models import Invitation, OrganizationId

AN_HOUR_FROM_ONE_ORGANIZATION = 1000
A_DAY_TO_ONE_ADDRESS = 10
"""From one organization, however they come about."""
A_DAY_FROM_EVERYWHERE = 30
"""To one address, from all organizations: anybody may be able to found some."""


class TooManyInvitations(TooMany):
    """{organization} has sent {sent} invitations within the hour, which is the limit. Try again later."""

    retry_after = 600


class SentTooOften(TooMany):
    """{email} has been sent as many invitations as one address may get in a day. Try again tomorrow."""

    retry_after = 86_400


async def refuse_flood(change: Change, organization: OrganizationId, address: str) -> None:
    """Raise TooManyInvitations or SentTooOften instead of one mail too many."""
    hour, day = (change.now - timedelta(hours=1), change.now - timedelta(days=1))
    ours = Invitation.organization_id == organization
    theirs = Invitation.email == address
    sent = await _sent(change, ours, Invitation.sent_at > hour)
    if sent >= AN_HOUR_FROM_ONE_ORGANIZATION:
        raise TooManyInvitations(organization=organization, sent=sent)
    if (
        await _sent(change, ours, theirs, Invitation.sent_at > day) >= A_DAY_TO_ONE_ADDRESS
        or await _sent(change, theirs, Invitation.sent_at > day) >= A_DAY_FROM_EVERYWHERE
    ):
        raise SentTooOften(email=address)


async def _sent(change: Change, *which: ColumnElement[bool]) -> int:
    sendings = select(func.coalesce(func.sum(Invitation.times_sent), 0)).where(*which)
    return await change.session.scalar(sendings) or 0
