"""What a run may write. Its row and the ledger decide that, never the metadata of the write."""

from collections.abc import Callable, Collection, Iterable, Sequence

from teamaccess.delivery.provenance.writes import ANY_TIME
from teamaccess.delivery.writer import APPLIED, HEAD, Write
from teamaccess.ledger.entry import Entry
from teamaccess.relationships import Relationship, Revocation, Update
from teamaccess.storage import EngineRun, RunKind, RunPhase

GATE = "member"
"""The membership gate: the relation that every permission requires."""

RunRule = Callable[
    [EngineRun, Sequence[Update], Collection[Relationship], Entry | None], list[Update]
]


def updates_beyond(
    run: EngineRun,
    updates: Sequence[Update],
    asserted: Collection[Relationship],
    entry: Entry | None,
) -> list[Update]:
    """Return those of a tenant's updates that the run must not write.

    `asserted` are the relationships that the ledger asserts at the run's position. `entry` is the ledger
    entry of that position, if any. A run of an unknown kind explains nothing.
    """
    return RULES.get(run.kind, _nothing)(run, updates, asserted, entry)


def starts_filling(run: EngineRun, updates: Iterable[Update]) -> bool:
    """Return whether a rebuild begins to fill SpiceDB with this write. After that, it must not delete."""
    return run.kind == RunKind.REBUILD and any(_gives(update) for update in updates)


def ends_run(run: EngineRun, updates: Iterable[Update]) -> bool:
    """Return whether this is the last write of its run. A rebuild ends with the head relationship."""
    if run.kind == RunKind.REBUILD:
        return any(_gives(update) and update.relationship.relation == HEAD for update in updates)
    return run.kind in (RunKind.RENEWAL, RunKind.REDELIVERY)


def _rebuild(
    run: EngineRun,
    updates: Sequence[Update],
    asserted: Collection[Relationship],
    _: Entry | None,
) -> list[Update]:
    """Return deletes after the filling began, and relationships that the ledger does not assert."""
    filling = run.phase == RunPhase.FILLING or any(map(_gives, updates))
    return [
        update
        for update in updates
        if (update.relationship not in asserted if _gives(update) else filling)
    ]


def _close(
    run: EngineRun, updates: Sequence[Update], *_: Collection[Relationship] | Entry | None
) -> list[Update]:
    gate = f"organization:{run.organization_id}#{GATE}@"
    return [
        update
        for update in updates
        if _gives(update) or not str(update.relationship).startswith(gate)
    ]


def _purge(
    _: EngineRun, updates: Sequence[Update], *__: Collection[Relationship] | Entry | None
) -> list[Update]:
    return [update for update in updates if _gives(update)]


def _ahead(
    _: EngineRun,
    updates: Sequence[Update],
    __: Collection[Relationship],
    entry: Entry | None,
) -> list[Update]:
    decided = entry.updates if entry is not None else ()
    taken = {update.relationship.identity for update in decided if isinstance(update, Revocation)}
    return [
        update for update in updates if _gives(update) or update.relationship.identity not in taken
    ]


def _renewal(
    run: EngineRun,
    updates: Sequence[Update],
    asserted: Collection[Relationship],
    entry: Entry | None,
) -> list[Update]:
    """Return everything but the marker of the run's entry, which gives no access."""
    markers = Write((entry,)).markers(ANY_TIME) if entry is not None else ()
    renewed = {marker.identity for marker in markers}
    return [
        update
        for update in updates
        if not _gives(update)
        or update.relationship.relation != APPLIED
        or update.relationship.identity not in renewed
    ]


def _redelivery(
    _: EngineRun,
    updates: Sequence[Update],
    asserted: Collection[Relationship],
    __: Entry | None,
) -> list[Update]:
    """Return what contradicts the ledger at the run's position."""
    return [update for update in updates if _gives(update) != (update.relationship in asserted)]


def _nothing(_: EngineRun, updates: Sequence[Update], *__: object) -> list[Update]:
    """Return everything: a skip only explains why the updates of its position are missing."""
    return list(updates)


RULES: dict[str, RunRule] = {
    RunKind.REBUILD: _rebuild,
    RunKind.CLOSE: _close,
    RunKind.PURGE: _purge,
    RunKind.AHEAD: _ahead,
    RunKind.RENEWAL: _renewal,
    RunKind.REDELIVERY: _redelivery,
    RunKind.SKIP: _nothing,
}


def _gives(update: Update) -> bool:
    return not isinstance(update, Revocation)
