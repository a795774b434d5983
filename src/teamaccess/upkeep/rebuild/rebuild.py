"""Fill a SpiceDB that is empty, restored or another one from the rows."""

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
from teamaccess.upkeep.rebuild.agreement import disagreement
from teamaccess.upkeep.rebuild.fill import Filled, fill
from teamaccess.upkeep.rebuild.histories import batches, differs, doubtful, is_another
from teamaccess.upkeep.reconciliation.scan import Seen
from teamaccess.upkeep.reconciliation.tenants import ORGANIZATION, objects_of

ATTEMPTS = 5
"""Each late write that comes in between costs one, and none can come twice."""


@dataclass
class Rebuilt:
    """How much was done."""

    organizations: list[OrganizationId] = field(default_factory=list)
    relationships: int = 0
    busy: list[OrganizationId] = field(default_factory=list)
    """Those that were being changed: they are as they were, or refused until they are rebuilt."""
    disagreeing: dict[OrganizationId, list[str]] = field(default_factory=dict)
    """Those whose rows are not what their ledger led to, with some differences: they are not filled."""


class Rebuilder:
    """Rebuilds organizations. Stopped at any moment, it can be run again."""

    def __init__(
        self, ledger: Ledger, engine: Engine, catalog: Catalog, attribution: Attribution
    ) -> None:
        self._ledger, self._engine, self._catalog = ledger, engine, catalog
        self._attribution = attribution
        self._from_nothing = False
        self.done = Rebuilt()

    async def everything(self, seen: Seen) -> Rebuilt:
        """Rebuild every organization that has another history in SpiceDB."""
        self._from_nothing = await self._is_empty()
        async for ids in batches(self._ledger.sessions):
            await self.some(ids, seen)
        return self.done

    async def give_schema(self) -> None:
        """Write the catalog's schema where SpiceDB has none at all."""
        if not await self._engine.has_schema():
            await apply_schema(self._ledger, self._engine, self._catalog, self._attribution)

    async def some(self, ids: Sequence[OrganizationId], seen: Seen) -> Rebuilt:
        """Rebuild those of a batch that need it; raises UnknownOrganization where there are none."""
        async with self._ledger.sessions() as session:
            places = await newest_progress(session, ids)
        if not places:
            raise UnknownOrganization(organization=", ".join(ids))
        needing = [each.organization for each in await doubtful(self._engine, places)]
        if not needing:
            return self.done
        try:
            await self._locked(needing, seen)
        except OrganizationBusy:
            for id in needing:
                try:
                    await self._locked([id], seen)
                except OrganizationBusy:
                    self.done.busy.append(id)
        return self.done

    async def _locked(self, ids: Sequence[OrganizationId], seen: Seen) -> None:
        """Rebuild those of them that need it, which nobody changes meanwhile."""
        async with self._ledger.hold(self._attribution, *ids) as change:
            places = [
                place
                for place in await newest_progress(change.session, ids)
                if await differs(change.session, self._engine, place)
                and await self._agrees(change, place)
            ]
            if not places:
                return
            rebuilt = [place.organization for place in places]
            # The others have only not arrived yet, which is no reason to refuse the commit.
            change.standing = [at for at in change.standing if at.organization in rebuilt]
            filled = await self._replace(change, places, seen)
            await self._keep(change, places, filled.zed_token)
            await self._ledger.commit(change)  # which asks once more where SpiceDB stands
        self.done.organizations += rebuilt
        self.done.relationships += filled.relationships

    async def _agrees(self, change: Change, place: LedgerProgress) -> bool:
        """Return whether the rows may be enforced: nobody has changed them behind the ledger's back.

        If somebody has, nobody can do anything where SpiceDB has another history: it may hold what was
        taken away since.
        """
        id = place.organization
        differences = await disagreement(change.session, self._catalog, id)
        if not differences:
            return True
        self.done.disagreeing[id] = differences
        if closed := await is_another(change.session, self._engine, place):
            runs = await self._begin(change, RunKind.CLOSE, [place])
            await self._close(RunKind.CLOSE, place, runs)
        await record_alone(
            self._ledger.sessions,
            self._attribution,
            RebuildRefused(closed=closed, differences=differences),
            id,
        )
        return False

    async def _replace(
        self, change: Change, places: Sequence[LedgerProgress], seen: Seen
    ) -> Filled:
        """Empty them and fill them, and again if somebody's late write comes in between.

        A SpiceDB in which there was nothing at all is not emptied first: a late write that has come
        since then has brought its marker, which an import meets.
        """
        for attempt in range(ATTEMPTS):
            empties = attempt > 0 or not self._from_nothing
            phase = RunPhase.EMPTYING if empties else RunPhase.FILLING
            runs = await self._begin(change, RunKind.REBUILD, places, phase)
            if empties:
                for place in places:
                    await self._empty(place, runs)
            with suppress(AlreadyThere):
                return await fill(self._engine, change, places, runs, seen)
        raise OrganizationBusy(organization=", ".join(place.organization for place in places))

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
        places: Sequence[LedgerProgress],
        phase: RunPhase = RunPhase.EMPTYING,
    ) -> dict[str, int]:
        """Say in our database what will be written, in a transaction of its own, before it is.

        SECURITY: the watcher judges what SpiceDB tells by these rows alone.
        """
        async with self._ledger.sessions.begin() as session:
            return await begin_runs(
                session,
                kind,
                [(place.organization, place.position) for place in places],
                request_id=self._attribution.request_id,
                transaction=change.transaction,
                phase=phase,
            )

    async def _empty(self, place: LedgerProgress, runs: Mapping[str, int]) -> None:
        """Delete all that SpiceDB holds of it: first what lets anybody do anything."""
        await self._close(RunKind.REBUILD, place, runs)
        for objects in objects_of(place.organization, self._catalog):
            await self._engine.delete(objects, self._said(RunKind.REBUILD, place, runs))

    async def _close(self, kind: RunKind, place: LedgerProgress, runs: Mapping[str, int]) -> None:
        """Delete what lets anybody do anything there."""
        gate = ObjectFilter(ORGANIZATION, place.organization, relation=GATE)
        await self._engine.delete(gate, self._said(kind, place, runs))

    def _said(
        self, kind: RunKind, place: LedgerProgress, runs: Mapping[str, int]
    ) -> dict[str, Any]:
        mine: dict[str, int] = {place.organization: runs[place.organization]}
        return run_metadata(kind, mine, self._attribution.request_id)

    async def _keep(
        self, change: Change, places: Sequence[LedgerProgress], token: str | None
    ) -> None:
        """Keep that every position is there, pending and refused ones too: the rows had them all.

        The tokens of a SpiceDB that was replaced mean nothing to this one.
        """
        status = LedgerApplication.status
        skipped = ApplicationStatus.SKIPPED
        await change.session.execute(
            update(LedgerApplication)
            .where(LedgerApplication.organization_id.in_([each.organization for each in places]))
            .values(
                status=case((status == skipped, skipped), else_=ApplicationStatus.APPLIED),
                zed_token=token,
                enforced_at=func.coalesce(LedgerApplication.enforced_at, func.clock_timestamp()),
                refusal=None,
            )
        )
        for place in places:
            id = place.organization
            await record(change, EngineRebuilt(position=place.position), id, id)
            await findings.resolve(change.session, FindingKind.OTHER_HISTORY, id)
