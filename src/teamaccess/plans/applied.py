"""What SpiceDB enforces at this moment, which may be another catalog than the one that is deployed."""

from dataclasses import replace

from teamaccess.audit.audit import Audit
from teamaccess.ledger import clock
from teamaccess.schemas.in_force import in_force


async def as_applied(audit: Audit) -> Audit:
    """Return the same with the catalog whose schema was applied last, if that was kept."""
    async with audit.reads() as session:
        found = await in_force(session, await clock(session))
    return audit if found is None else replace(audit, catalog=found.catalog)
