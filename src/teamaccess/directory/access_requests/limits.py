"""How much one member may ask for."""

from datetime import timedelta

from sqlalchemy import func, select

from teamaccess.changes import Change
from teamaccess.common.errors import TooMany
from teamaccess.storage import AccessRequest, AccessRequestStatus, OrganizationId, UserId


class TooManyOpenRequests(TooMany):
    """{user} has {open} open access requests in {organization}, which is the limit. Withdraw one, or wait for a decision."""  # noqa: E501 - a sentence is one line


class AskedTooOften(TooMany):
    """{user} has asked for access as often as one may in a day. Try again tomorrow."""

    retry_after = 86_400


async def refuse_flood(change: Change, organization: OrganizationId, user: UserId) -> None:
    """Raise TooManyOpenRequests or AskedTooOften instead of one request too many."""
    pending = AccessRequest.status == AccessRequestStatus.PENDING
    today = AccessRequest.requested_at > change.now - timedelta(days=1)
    asked = await change.session.execute(
        select(func.count().filter(pending), func.count().filter(today)).where(
            AccessRequest.organization_id == organization, AccessRequest.user_id == user
        )
    )
    open_now, within_day = asked.one()
    most = change.limits
    if open_now >= most.open_access_requests:
        raise TooManyOpenRequests(user=user, organization=organization, open=open_now)
    if within_day >= most.access_requests_a_day:
        raise AskedTooOften(user=user)
