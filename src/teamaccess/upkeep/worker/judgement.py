"""Judges, by our database alone, whether a write that SpiceDB reports is ours."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.delivery.provenance import runs
from teamaccess.delivery.provenance.ledger_state import asserted_at
from teamaccess.delivery.provenance.run_rules import ends_run, starts_filling, updates_beyond
from teamaccess.delivery.provenance.writes import (
    PositionKey,
    WriteClaim,
    match_claim,
    read_claim,
    tenant_of_update,
)
from teamaccess.delivery.writer import are_in_force
from teamaccess.engine import Engine, EngineRefused, ObservedWrite, exact_snapshot
from teamaccess.ledger import Entry, database_time
from teamaccess.relationships import InvalidRelationship, Update
from teamaccess.storage import EngineRun, LedgerEntry, OrganizationId, RunKind, RunPhase


@dataclass
class Judgement:
    """The foreign updates of a write, and what the watcher must record about the others."""

    claimed: WriteClaim
    foreign: list[Update] = field(default_factory=list)
    arrived: dict[OrganizationId, int] = field(default_factory=dict)
    """The newest position that arrived with the write, by organization."""
    filling: list[int] = field(default_factory=list)
    """Ids of the runs that began to fill with this write."""
    settled: list[int] = field(default_factory=list)
    """Ids of the runs that ended with this write."""
    rebuilt: set[str] = field(default_factory=set)
    """Organizations whose rebuild ended with this write. They should be compared."""
    incomplete: list[OrganizationId] = field(default_factory=list)
    """Organizations with a marker in this write but not the updates of its position."""


async def judge_write(session: AsyncSession, engine: Engine, observed: ObservedWrite) -> Judgement:
    """Judge one write.

    SECURITY: the metadata is only a hint: it names positions to look up. Each position must be in our
    ledger and arrive for the first time. A recorded run must explain every other update.
    """
    judgement = Judgement(read_claim(observed.metadata))
    claimed = judgement.claimed
    ledger = await _entries(session, claimed.positions)
    skips = await _drop_skipped_updates(session, ledger)
    seen = (
        await runs.watched_positions(session, {organization for organization, _ in ledger})
        if ledger
        else {}
    )
    arrived = match_claim(observed.updates, claimed, ledger, seen)
    for organization, missing in arrived.missing.items():
        now = await database_time(session)
        if not await _were_in_force(
            engine, missing, now, observed.zed_token, judgement, organization
        ):
            judgement.incomplete.append(organization)
            del arrived.newest[organization]
            own = [each for each in observed.updates if tenant_of_update(each) == organization]
            judgement.foreign += [each for each in own if each not in arrived.unexplained]
    judgement.arrived.update(arrived.newest)
    judgement.settled += [
        run.id for run in skips if run.position <= arrived.newest.get(_id(run), 0)
    ]
    if arrived.unexplained:
        await _Runs(session, judgement).judge(arrived.unexplained)
    return judgement


async def _drop_skipped_updates(
    session: AsyncSession, ledger: dict[PositionKey, Entry]
) -> list[EngineRun]:
    """Clear the updates of entries that an operator skips; return the runs that skip them."""
    organizations = {organization for organization, _ in ledger}
    found = await runs.unsettled_runs(session, organizations) if organizations else ()
    skips = [run for run in found if run.kind == RunKind.SKIP]
    for run in skips:
        if (key := (_id(run), run.position)) in ledger:
            ledger[key] = replace(ledger[key], updates=())
    return skips


async def _were_in_force(
    engine: Engine,
    missing: Sequence[Update],
    now: datetime,
    zed_token: str,
    judgement: Judgement,
    organization: OrganizationId,
) -> bool:
    """Return whether updates that a write lacks were in force after it.

    If SpiceDB no longer remembers that moment, a comparison decides.
    """
    try:
        return await are_in_force(engine, missing, now, exact_snapshot(zed_token))
    except EngineRefused:
        judgement.rebuilt.add(organization)
        return True


def _id(run: EngineRun) -> OrganizationId:
    return OrganizationId(run.organization_id)


class _Runs:
    """Judges the updates that no position explains, by the runs that may have written them."""

    def __init__(self, session: AsyncSession, judgement: Judgement) -> None:
        self._session, self._judgement = session, judgement

    async def judge(self, updates: Sequence[Update]) -> None:
        by_tenant: dict[str, list[Update]] = {}
        for update in updates:
            by_tenant.setdefault(tenant_of_update(update), []).append(update)
        unsettled = await runs.unsettled_runs(self._session, by_tenant.keys())
        seen = await runs.watched_positions(self._session, by_tenant.keys()) if unsettled else {}
        for name, of_tenant in by_tenant.items():
            candidates = [run for run in unsettled if run.organization_id == name]
            await self._judge_tenant(self._current(candidates, seen.get(name, 0)), of_tenant)

    def _current(self, candidates: Sequence[EngineRun], seen: int) -> list[EngineRun]:
        """Return the runs without those whose position has since arrived in order.

        SECURITY: a rebuild or redelivery would otherwise explain access that a later position took away.
        A rebuild holds the organization's lock, so no later position arrives before its last write.
        """
        arrived = [
            run
            for run in candidates
            if (run.kind == RunKind.AHEAD and run.position <= seen)
            or (run.kind in (RunKind.REDELIVERY, RunKind.REBUILD) and run.position < seen)
        ]
        self._judgement.settled += [run.id for run in arrived]
        return [run for run in candidates if run not in arrived]

    async def _judge_tenant(
        self, candidates: Sequence[EngineRun], updates: Sequence[Update]
    ) -> None:
        """Attribute the updates to the first run that explains all of them.

        If no run does, the fewest updates that some run leaves unexplained are foreign.
        """
        foreign = list(updates)
        for run in candidates:
            unexplained = await self._unexplained(run, updates)
            if not unexplained:
                self._attribute(run, candidates, updates)
                return
            foreign = min(foreign, unexplained, key=len)
        self._judgement.foreign += foreign

    async def _unexplained(self, run: EngineRun, updates: Sequence[Update]) -> list[Update]:
        id = OrganizationId(run.organization_id)
        entries = await _entries(self._session, [(id, run.position)])
        expected = (
            await asserted_at(
                self._session, id, run.position, {update.relationship for update in updates}
            )
            if starts_filling(run, updates) or run.kind == RunKind.REDELIVERY
            else set()
        )
        return updates_beyond(run, updates, expected, entries.get((id, run.position)))

    def _attribute(
        self, run: EngineRun, candidates: Sequence[EngineRun], updates: Sequence[Update]
    ) -> None:
        """Record what the run's write means for its phase, and settle the runs before it."""
        judgement = self._judgement
        if ends_run(run, updates):
            judgement.settled.append(run.id)
        elif starts_filling(run, updates) and run.phase != RunPhase.FILLING:
            judgement.filling.append(run.id)
        if run.kind != RunKind.REBUILD:
            return
        judgement.settled += [
            earlier.id
            for earlier in candidates
            if earlier.id < run.id and earlier.kind != RunKind.AHEAD
        ]
        if ends_run(run, updates):
            judgement.rebuilt.add(run.organization_id)
            judgement.arrived[OrganizationId(run.organization_id)] = run.position


async def _entries(
    session: AsyncSession, positions: Iterable[PositionKey]
) -> dict[PositionKey, Entry]:
    """Return the ledger entries with these keys. A key without an entry is left out."""
    keys = list(positions)
    if not keys:
        return {}
    key = tuple_(LedgerEntry.organization_id, LedgerEntry.position)
    rows = await session.scalars(select(LedgerEntry).where(key.in_(keys)))
    return {(row.organization_id, row.position): _entry(row) for row in rows}


def _entry(row: LedgerEntry) -> Entry:
    """Return the entry, without updates if they are unreadable: an operator may have skipped it."""
    try:
        return Entry.of(row)
    except InvalidRelationship:
        return Entry.of(row, updates=())
