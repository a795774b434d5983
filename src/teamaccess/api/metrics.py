"""Metrics for Prometheus: requests, pending changes, findings and comparisons."""

from typing import Any

from litestar import Response, get
from litestar.datastructures import State
from litestar.plugins.prometheus import PrometheusController
from prometheus_client import Gauge

from teamaccess.api.cached import Cached
from teamaccess.api.identity.callers import Operator
from teamaccess.api.requests.parameters import AnyRequest
from teamaccess.api.status import STATUS_SECONDS, Status
from teamaccess.delivery.status import LedgerStatus
from teamaccess.storage import FindingKind

PENDING = Gauge("teamaccess_ledger_pending", "Changes that SpiceDB has not confirmed")
OLDEST_PENDING = Gauge(
    "teamaccess_ledger_oldest_pending_seconds", "How long the oldest pending change has waited"
)
STOPPED = Gauge(
    "teamaccess_organizations_stopped", "Organizations with an entry that SpiceDB refuses for good"
)
FINDINGS = Gauge("teamaccess_findings_open", "Open findings, by kind", ["kind"])
OLDEST_CHECK = Gauge(
    "teamaccess_reconcile_oldest_check_seconds",
    "How long ago the organization that is compared next was last compared with SpiceDB",
)
UNCHECKED = Gauge(
    "teamaccess_organizations_never_checked", "Organizations never compared with SpiceDB"
)
UNWATCHED = Gauge(
    "teamaccess_watch_unwatched_seconds",
    "How long ago a worker last recorded that it had seen every write to SpiceDB",
)


class Metrics(PrometheusController):
    """The route that Prometheus scrapes."""

    include_in_schema = False

    @get()
    async def get(self, request: AnyRequest, state: State) -> Response[Any]:
        """Return all metrics: current for an operator, otherwise at most STATUS_SECONDS old."""
        scrape: Cached[Response[Any]] = state.setdefault(
            "scrape", Cached(lambda: self._scrape(state.status), STATUS_SECONDS)
        )
        return await (scrape.fresh() if isinstance(request.user, Operator) else scrape.get())

    async def _scrape(self, status: Status) -> Response[Any]:
        _set(await status.ledgers.fresh())
        answer: Response[Any] = await PrometheusController.get.fn(self)
        return answer


def _set(status: LedgerStatus) -> None:
    PENDING.set(status.pending)
    OLDEST_PENDING.set(status.oldest_pending_seconds)
    STOPPED.set(len(status.stopped))
    found = {each.kind: each.count for each in status.findings}
    for kind in {*(each.value for each in FindingKind), *found}:
        FINDINGS.labels(kind=kind).set(found.get(kind, 0))
    OLDEST_CHECK.set(status.oldest_check_seconds)
    UNCHECKED.set(status.unchecked_organizations)
    if status.unwatched_seconds is not None:
        UNWATCHED.set(status.unwatched_seconds)
