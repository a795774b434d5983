"""Bring SpiceDB back to what the ledger says of one organization."""

from teamaccess.changes.events import record
from teamaccess.changes.events.organizations import DriftMended
from teamaccess.ledger import Attribution
from teamaccess.storage import OrganizationId
from teamaccess.upkeep.reconciliation.comparer import Examiner
from teamaccess.upkeep.reconciliation.ledger_check import refuse_false_claims
from teamaccess.upkeep.reconciliation.result import DeleteBudget, ReconcileResult


async def mend(
    examiner: Examiner, attribution: Attribution, id: OrganizationId, allowance: DeleteBudget
) -> ReconcileResult:
    """Compare again under the lock and mend what differs there, as a position of the ledger.

    What takes away comes first. Raises TooManyDeletes, LedgerDisagrees, and what
    keeps an organization from being changed.
    """
    catalog = examiner.catalog
    async with examiner.locked(attribution, id) as change:
        comparison = await examiner.under_lock(change.session, id)
        verdict = ReconcileResult.of(comparison)
        deletes, touches = comparison.deletes(catalog), comparison.touches()
        if updates := [*deletes, *touches]:
            await refuse_false_claims(change.session, id, updates)
            allowance.spend(id, len(deletes))
            await change.mend(id, updates)
            await record(change, DriftMended(purged=len(deletes), restored=len(touches)), id, id)
            receipts = await examiner.ledger.commit(change)
            verdict.mended = len(updates)
            verdict.pending = any(receipt.pending for receipt in receipts)
    return verdict
