"""The ways out for an organization that SpiceDB's refusal of an entry has stopped."""

from teamaccess.changes import Change, Ledger
from teamaccess.changes.events import record
from teamaccess.common.errors import Conflict
from teamaccess.storage import OrganizationId


class NotStopped(Conflict):
    """No entry stops {organization}, so there is nothing to retry or to skip."""


async def retry(ledger: Ledger, change: Change, organization: OrganizationId, reason: str) -> int:
    """Have the refused entry sent again, as after mending SpiceDB's schema; return its position.

    Everything waiting behind it follows. Raises NotStopped.
    """
    position = await ledger.retry(change, organization)
    return await _told(change, "ledger_retried", organization, position, reason)


async def skip(ledger: Ledger, change: Change, organization: OrganizationId, reason: str) -> int:
    """Give the refused entry up, so that the ones behind it can follow; return its position.

    What it says stays in the ledger and in the rows, and is missing from SpiceDB, as a comparison will
    find. Raises NotStopped.
    """
    position = await ledger.skip(change, organization)
    return await _told(change, "ledger_skipped", organization, position, reason)


async def _told(
    change: Change, kind: str, organization: OrganizationId, position: int | None, reason: str
) -> int:
    if position is None:
        raise NotStopped(organization=organization)
    about = f"organization:{organization}"
    await record(change, kind, organization, about, reason, position=position)
    return position
