"""Fill a SpiceDB from the rows, after it was emptied, restored or replaced."""

from collections.abc import Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import case, func, update

from teamaccess.catalog import Catalog
from teamaccess.changes import Change, Ledger
from teamaccess.changes.events import record, record_alone
from teamaccess.changes.events.organizations import EngineRebuilt, RebuildRefused
from teamaccess.delivery.progress import LedgerProgress, newest_progress
from teamaccess.delivery.provenance.run_rules import GATE
from teamaccess.delivery.provenance.runs import begin_runs
from teamaccess.delivery.writer import run_metadata
from teamaccess.directory.schemas.apply import apply_schema
from teamaccess.engine import AlreadyThere, Engine, ObjectFilter
from teamaccess.ledger import Attribution, OrganizationBusy, UnknownOrganization
from teamaccess.storage import (
    ApplicationStatus,
    FindingKind,
    LedgerApplication,
    OrganizationId,
    RunKind,
    RunPhase,
)
from teamaccess.upkeep import findings
from teamaccess.upkeep.rebuild.agreement import find_disagreements
from teamaccess.upkeep.rebuild.fill import FillResult, import_relationships
from teamaccess.upkeep.rebuild.histories import (
    has_other_history,
    needs_rebuild,
    organization_batches,
    with_unconfirmed_head,
)
from teamaccess.upkeep.reconciliation.scan import OnProgress
from teamaccess.upkeep.reconciliation.tenants import ORGANIZATION, objects_of

ATTEMPTS = 5
"""Each late write that interferes costs one attempt, and none can arrive twice."""


@dataclass
class RebuildResult:
    """What was rebuilt, and what was not."""

    organizations: list[OrganizationId] = field(default_factory=list)
    relationships: int = 0
    busy: list[OrganizationId] = field(default_factory=list)
    """Organizations that were locked by changes. Their access is unchanged, or denied until a rebuild."""
    disagreeing: dict[OrganizationId, list[str]] = field(default_factory=dict)
    """Organizations whose rows disagree with their ledger, with examples. They are not filled."""


class Rebuilder:
    """Rebuilds organizations. It can be interrupted at any moment and run again."""

    def __init__(
        self, ledger: Ledger, engine: Engine, catalog: Catalog, attribution: Attribution
    ) -> None:
        self._ledger, self._engine, self._catalog = ledger, engine, catalog
        self._attribution = attribution
        self._from_nothing = False
        self.result = RebuildResult()

    async def rebuild_all(self, on_progress: OnProgress) -> RebuildResult:
        """Rebuild every organization whose history in SpiceDB differs from its ledger."""
        self._from_nothing = await self._is_empty()
        async for ids in organization_batches(self._ledger.sessions):
            await self.rebuild(ids, on_progress)
        return self.result

    async def ensure_schema(self) -> None:
        """Write the catalog's schema if SpiceDB has no schema."""
        if not await self._engine.has_schema():
            await apply_schema(self._ledger, self._engine, self._catalog, self._attribution)

    async def rebuild(
        self, ids: Sequence[OrganizationId], on_progress: OnProgress
    ) -> RebuildResult:
        """Rebuild those of the organizations that need it. Raises UnknownOrganization if none exists."""
        async with self._ledger.sessions() as session:
            targets = await newest_progress(session, ids)
        if not targets:
            raise UnknownOrganization(organization=", ".join(ids))
        ids_to_rebuild = [
            progress.organization for progress in await with_unconfirmed_head(self._engine, targets)
        ]
        if not ids_to_rebuild:
            return self.result
        try:
            await self._rebuild_locked(ids_to_rebuild, on_progress)
        except OrganizationBusy:
            for id in ids_to_rebuild:
                try:
                    await self._rebuild_locked([id], on_progress)
                except OrganizationBusy:
                    self.result.busy.append(id)
        return self.result

    async def _rebuild_locked(self, ids: Sequence[OrganizationId], on_progress: OnProgress) -> None:
        """Lock the organizations, and rebuild those that need it."""
        async with self._ledger.hold(self._attribution, *ids) as change:
            targets = [
                progress
                for progress in await newest_progress(change.session, ids)
                if await needs_rebuild(change.session, self._engine, progress)
                and await self._agrees(change, progress)
            ]
            if not targets:
                return
            rebuilt = [progress.organization for progress in targets]
            # The positions of the others are only pending, which must not refuse the commit.
            change.ledger_positions = [
                at for at in change.ledger_positions if at.organization in rebuilt
            ]
            filled = await self._replace(change, targets, on_progress)
            await self._mark_applied(change, targets, filled.zed_token)
            await self._ledger.commit(change)  # the commit checks SpiceDB's position once more
        self.result.organizations += rebuilt
        self.result.relationships += filled.relationships

    async def _agrees(self, change: Change, progress: LedgerProgress) -> bool:
        """Return whether the rows agree with the ledger, so that they may be enforced.

        If somebody changed the rows directly and SpiceDB has another history, all access there is closed:
        SpiceDB may hold relationships that were removed since.
        """
        id = progress.organization
        differences = await find_disagreements(change.session, self._catalog, id)
        if not differences:
            return True
        self.result.disagreeing[id] = differences
        if closed := await has_other_history(change.session, self._engine, progress):
            runs = await self._begin(change, RunKind.CLOSE, [progress])
            await self._close(RunKind.CLOSE, progress, runs)
        await record_alone(
            self._ledger.sessions,
            self._attribution,
            RebuildRefused(closed=closed, differences=differences),
            id,
        )
        return False

    async def _replace(
        self, change: Change, targets: Sequence[LedgerProgress], on_progress: OnProgress
    ) -> FillResult:
        """Empty the organizations and fill them; repeat if a late write interferes.

        A SpiceDB that held nothing at all is not emptied first: a late write since then has brought its
        marker, and the import collides with that.
        """
        for attempt in range(ATTEMPTS):
            empties = attempt > 0 or not self._from_nothing
            phase = RunPhase.EMPTYING if empties else RunPhase.FILLING
            runs = await self._begin(change, RunKind.REBUILD, targets, phase)
            if empties:
                for progress in targets:
                    await self._empty(progress, runs)
            with suppress(AlreadyThere):
                return await import_relationships(self._engine, change, targets, runs, on_progress)
        raise OrganizationBusy(
            organization=", ".join(progress.organization for progress in targets)
        )

    async def _is_empty(self) -> bool:
        """Return whether SpiceDB holds nothing at all."""
        for type in self._catalog.resource_types:
            async with aclosing(self._engine.export(ObjectFilter(type))) as pages:
                async for page in pages:
                    if page:
                        return False
        return True

    async def _begin(
        self,
        change: Change,
        kind: RunKind,
        targets: Sequence[LedgerProgress],
        phase: RunPhase = RunPhase.EMPTYING,
    ) -> dict[str, int]:
        """Record the runs in a transaction of their own, before anything is written.

        SECURITY: the watcher judges the writes that SpiceDB reports by these rows alone.
        """
        async with self._ledger.sessions.begin() as session:
            return await begin_runs(
                session,
                kind,
                [(progress.organization, progress.position) for progress in targets],
                request_id=self._attribution.request_id,
                transaction=change.transaction,
                phase=phase,
            )

    async def _empty(self, progress: LedgerProgress, runs: Mapping[str, int]) -> None:
        """Delete everything that SpiceDB holds for an organization, the membership gate first."""
        await self._close(RunKind.REBUILD, progress, runs)
        for objects in objects_of(progress.organization, self._catalog):
            await self._engine.delete(objects, self._metadata(RunKind.REBUILD, progress, runs))

    async def _close(
        self, kind: RunKind, progress: LedgerProgress, runs: Mapping[str, int]
    ) -> None:
        """Delete the membership gate, so that nobody can do anything."""
        gate = ObjectFilter(ORGANIZATION, progress.organization, relation=GATE)
        await self._engine.delete(gate, self._metadata(kind, progress, runs))

    def _metadata(
        self, kind: RunKind, progress: LedgerProgress, runs: Mapping[str, int]
    ) -> dict[str, Any]:
        """Return the metadata that names the run in a write."""
        run: dict[str, int] = {progress.organization: runs[progress.organization]}
        return run_metadata(kind, run, self._attribution.request_id)

    async def _mark_applied(
        self, change: Change, targets: Sequence[LedgerProgress], token: str | None
    ) -> None:
        """Record every position as applied, including pending and refused ones: the rows include them.

        The tokens of a replaced SpiceDB mean nothing to the new one, so they are overwritten.
        """
        status = LedgerApplication.status
        skipped = ApplicationStatus.SKIPPED
        await change.session.execute(
            update(LedgerApplication)
            .where(LedgerApplication.organization_id.in_([each.organization for each in targets]))
            .values(
                status=case((status == skipped, skipped), else_=ApplicationStatus.APPLIED),
                zed_token=token,
                enforced_at=func.coalesce(LedgerApplication.enforced_at, func.clock_timestamp()),
                refusal=None,
            )
        )
        for progress in targets:
            id = progress.organization
            await record(change, EngineRebuilt(position=progress.position), id, id)
            await findings.close_findings(change.session, FindingKind.OTHER_HISTORY, id)
