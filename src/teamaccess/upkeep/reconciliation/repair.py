"""Repair one organization: bring SpiceDB back to what the ledger says."""

from teamaccess.changes.events import record
from teamaccess.changes.events.organizations import DriftMended
from teamaccess.ledger import Attribution
from teamaccess.storage import OrganizationId
from teamaccess.upkeep.reconciliation.comparer import OrganizationComparer
from teamaccess.upkeep.reconciliation.ledger_check import refuse_false_claims
from teamaccess.upkeep.reconciliation.result import DeleteBudget, ReconcileResult


async def repair(
    comparer: OrganizationComparer,
    attribution: Attribution,
    id: OrganizationId,
    budget: DeleteBudget,
) -> ReconcileResult:
    """Compare again under the lock, and repair the differences with a new ledger entry.

    Deletes come first. Raises TooManyDeletes, LedgerDisagrees, and the errors of a change.
    """
    catalog = comparer.catalog
    async with comparer.locked(attribution, id) as change:
        comparison = await comparer.under_lock(change.session, id)
        result = ReconcileResult.of(comparison)
        deletes, touches = comparison.deletes(catalog), comparison.touches()
        if updates := [*deletes, *touches]:
            await refuse_false_claims(change.session, id, updates)
            budget.spend(id, len(deletes))
            await change.record_repairs(id, updates)
            await record(change, DriftMended(purged=len(deletes), restored=len(touches)), id, id)
            receipts = await comparer.ledger.commit(change)
            result.mended = len(updates)
            result.pending = any(receipt.pending for receipt in receipts)
    return result
