"""Retry or skip the entry of a stopped organization that SpiceDB refuses."""

from teamaccess.changes import Change, Ledger
from teamaccess.changes.events import record
from teamaccess.changes.events.organizations import LedgerRetried, LedgerSkipped
from teamaccess.common.errors import Conflict
from teamaccess.storage import OrganizationId


class NotStopped(Conflict):
    """No ledger entry stops the organization, so there is nothing to retry or to skip."""

    message = "{organization} is not stopped: there is no entry to retry or to skip."


async def retry_stopped(
    ledger: Ledger, change: Change, organization: OrganizationId, reason: str
) -> int:
    """Send the refused entry again, for example after a schema was repaired; return its position.

    The entries that wait behind it follow. Raises NotStopped.
    """
    position = await ledger.retry(change, organization)
    if position is None:
        raise NotStopped(organization=organization)
    details = LedgerRetried(position=position)
    await record(change, details, organization, organization, reason)
    return position


async def skip_stopped(
    ledger: Ledger, change: Change, organization: OrganizationId, reason: str
) -> int:
    """Skip the refused entry, so that the entries behind it can follow; return its position.

    The entry stays in the ledger and in the rows. It is missing from SpiceDB, which a comparison will
    find. Raises NotStopped.
    """
    position = await ledger.skip(change, organization)
    if position is None:
        raise NotStopped(organization=organization)
    details = LedgerSkipped(position=position)
    await record(change, details, organization, organization, reason)
    return position
