"""How many mails an organization may cause, and how many one address must bear."""

from datetime import timedelta

from sqlalchemy import ColumnElement, ScalarSelect, func, select

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
    sent = await change.session.execute(
        select(
            _sent(ours, Invitation.sent_at > hour),
            _sent(ours, theirs, Invitation.sent_at > day),
            _sent(theirs, Invitation.sent_at > day),
        )
    )
    within_hour, ours_today, today = sent.one()
    if within_hour >= AN_HOUR_FROM_ONE_ORGANIZATION:
        raise TooManyInvitations(organization=organization, sent=within_hour)
    if ours_today >= A_DAY_TO_ONE_ADDRESS or today >= A_DAY_FROM_EVERYWHERE:
        raise SentTooOften(email=address)


def _sent(*which: ColumnElement[bool]) -> ScalarSelect[int]:
    return select(func.coalesce(func.sum(Invitation.times_sent), 0)).where(*which).scalar_subquery()
