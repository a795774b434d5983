"""Take back one's own access request."""

from teamaccess.access.authorize import MEMBERSHIP, require_held
from teamaccess.access.selves import is_own
from teamaccess.changes import Change
from teamaccess.directory.access_requests.find import UnknownAccessRequest, find_request
from teamaccess.directory.withdrawals import record_withdrawal
from teamaccess.storage import AccessRequest, OrganizationId, RequestId, UserId


async def withdraw(
    change: Change, actor: UserId, organization: OrganizationId, id: RequestId
) -> AccessRequest:
    """Take back a request of one's own.

    Raises UnknownAccessRequest, also for somebody else's, and AccessRequestDecided.
    """
    require_held(
        await change.permitted(organization, actor, [MEMBERSHIP]), organization, MEMBERSHIP
    )
    request = await find_request(change.session, organization, id)
    if request is None or not is_own(actor, request.user_id):
        raise UnknownAccessRequest(request=id, organization=organization)
    request.withdraw(actor, change.now)
    await record_withdrawal(change, request)
    return request
