"""Whether a write that SpiceDB tells of may be there: judged by our database alone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.delivery.provenance import runs
from teamaccess.delivery.provenance.ledger_state import asserted_at
from teamaccess.delivery.provenance.run_rules import ends_run, forbidden_updates, starts_filling
from teamaccess.delivery.provenance.writes import (
    PositionKey,
    WriteClaim,
    match_claim,
    read_claim,
    tenant_of_update,
)
from teamaccess.engine import ObservedWrite
from teamaccess.ledger import Entry
from teamaccess.relationships import InvalidRelationship, Update
from teamaccess.storage import EngineRun, LedgerEntry, OrganizationId, RunKind, RunPhase


@dataclass
class Judgement:
    """What is foreign in a write, and what its watcher must keep of the rest."""

    claimed: WriteClaim
    foreign: list[Update] = field(default_factory=list)
    arrived: dict[OrganizationId, int] = field(default_factory=dict)
    """The newest position that has come with it, by organization."""
    filling: list[int] = field(default_factory=list)
    """The runs that have begun to fill with it."""
    settled: list[int] = field(default_factory=list)
    """The runs that have ended with it."""
    rebuilt: set[str] = field(default_factory=set)
    """The organizations whose rebuild ends with it, and that should be compared."""


async def judge(session: AsyncSession, observed: ObservedWrite) -> Judgement:
    """Judge one write.

    SECURITY: the metadata only names positions to look up. Each of them must be in our ledger and arrive
    for the first time; everything else must be what a run that we know of is to write there.
    """
    judgement = Judgement(read_claim(observed.metadata))
    claimed = judgement.claimed
    ledger = await _entries(session, claimed.positions)
    seen = await runs.watched_positions(session, {place[0] for place in ledger}) if ledger else {}
    arrived = match_claim(observed.updates, claimed, ledger, seen)
    judgement.arrived.update(arrived.newest)
    if arrived.unexplained:
        await _Runs(session, judgement).judge(arrived.unexplained)
    return judgement


class _Runs:
    """Judges what no position explains by the runs that may have written it."""

    def __init__(self, session: AsyncSession, judgement: Judgement) -> None:
        self._session, self._judgement = session, judgement

    async def judge(self, updates: Sequence[Update]) -> None:
        own: dict[str, list[Update]] = {}
        for update in updates:
            own.setdefault(tenant_of_update(update), []).append(update)
        found = await runs.unsettled_runs(self._session, own.keys())
        seen = await runs.watched_positions(self._session, own.keys()) if found else {}
        for name, theirs in own.items():
            mine = [each for each in found if each.organization_id == name]
            await self._judge_tenant(self._current(mine, seen.get(name, 0)), theirs)

    def _current(self, mine: Sequence[EngineRun], seen: int) -> list[EngineRun]:
        """Return the runs that are not over because their position has arrived in its turn."""
        arrived = [run for run in mine if run.kind == RunKind.AHEAD and run.position <= seen]
        self._judgement.settled += [run.id for run in arrived]
        return [run for run in mine if run not in arrived]

    async def _judge_tenant(self, mine: Sequence[EngineRun], updates: Sequence[Update]) -> None:
        """The first run that explains everything has written it; what came before that run is over."""
        left = list(updates)
        for run in mine:
            rest = await self._beyond(run, updates)
            if not rest:
                self._keep(run, mine, updates)
                return
            left = min(left, rest, key=len)
        self._judgement.foreign += left

    async def _beyond(self, run: EngineRun, updates: Sequence[Update]) -> list[Update]:
        id = OrganizationId(run.organization_id)
        at = await _entries(self._session, [(id, run.position)])
        stood = (
            await asserted_at(
                self._session, id, run.position, {update.relationship for update in updates}
            )
            if run.kind == RunKind.REBUILD and starts_filling(run, updates)
            else set()
        )
        return forbidden_updates(run, updates, stood, at.get((id, run.position)))

    def _keep(self, run: EngineRun, mine: Sequence[EngineRun], updates: Sequence[Update]) -> None:
        judgement = self._judgement
        if ends_run(run, updates):
            judgement.settled.append(run.id)
        elif starts_filling(run, updates) and run.phase != RunPhase.FILLING:
            judgement.filling.append(run.id)
        if run.kind != RunKind.REBUILD:
            return
        before = [each.id for each in mine if each.id < run.id and each.kind != RunKind.AHEAD]
        judgement.settled += before
        if ends_run(run, updates):
            judgement.rebuilt.add(run.organization_id)
            judgement.arrived[OrganizationId(run.organization_id)] = run.position


async def _entries(
    session: AsyncSession, places: Iterable[PositionKey]
) -> dict[PositionKey, Entry]:
    """Return the entries at some places; what is in no ledger is left out."""
    wanted = list(places)
    if not wanted:
        return {}
    key = tuple_(LedgerEntry.organization_id, LedgerEntry.position)
    rows = await session.scalars(select(LedgerEntry).where(key.in_(wanted)))
    return {(row.organization_id, row.position): _as_far_as_readable(row) for row in rows}


def _as_far_as_readable(row: LedgerEntry) -> Entry:
    """Return the entry; one whose updates nobody can read may have been given up, without them."""
    try:
        return Entry.of(row)
    except InvalidRelationship:
        return Entry.of(row, updates=())
