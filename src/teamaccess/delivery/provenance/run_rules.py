"""What a run may write: judged by its row and by what the ledger stands for, never by the write."""

from collections.abc import Callable, Collection, Iterable, Sequence

from teamaccess.delivery.provenance.writes import ANY_TIME
from teamaccess.ledger.entry import APPLIED, HEAD, Entry
from teamaccess.relationships import Relationship, Revocation, Update
from teamaccess.storage import EngineRun, RunKind, RunPhase

GATE = "member"
"""The relation through which every permission passes: without it nothing is allowed."""

Beyond = Callable[
    [EngineRun, Sequence[Update], Collection[Relationship], Entry | None], list[Update]
]


def updates_beyond(
    run: EngineRun,
    updates: Sequence[Update],
    stood_for: Collection[Relationship],
    entry: Entry | None,
) -> list[Update]:
    """Return those of a tenant's updates that the run is not to write.

    `stood_for` is what the ledger stands for at the run's position, and `entry` what it says there.
    """
    return RULES[RunKind(run.kind)](run, updates, stood_for, entry)


def fills(run: EngineRun, updates: Iterable[Update]) -> bool:
    """Whether a rebuild begins to fill with this write: from then on it deletes nothing."""
    return run.kind == RunKind.REBUILD and any(_gives(each) for each in updates)


def ends(run: EngineRun, updates: Iterable[Update]) -> bool:
    """Whether this write is the last one of its run: a rebuild ends with the head."""
    if run.kind == RunKind.REBUILD:
        return any(_gives(each) and each.relationship.relation == HEAD for each in updates)
    return run.kind == RunKind.RENEWAL


def _rebuild(
    run: EngineRun,
    updates: Sequence[Update],
    stood_for: Collection[Relationship],
    _: Entry | None,
) -> list[Update]:
    """Deletes come first; then everything that the ledger stands for, and nothing else."""
    filling = run.phase == RunPhase.FILLING or any(map(_gives, updates))
    return [
        each
        for each in updates
        if (each.relationship not in stood_for if _gives(each) else filling)
    ]


def _close(
    run: EngineRun, updates: Sequence[Update], *_: Collection[Relationship] | Entry | None
) -> list[Update]:
    gate = f"organization:{run.organization_id}#{GATE}@"
    return [each for each in updates if _gives(each) or not str(each.relationship).startswith(gate)]


def _purge(
    _: EngineRun, updates: Sequence[Update], *__: Collection[Relationship] | Entry | None
) -> list[Update]:
    return [each for each in updates if _gives(each)]


def _ahead(
    _: EngineRun,
    updates: Sequence[Update],
    __: Collection[Relationship],
    entry: Entry | None,
) -> list[Update]:
    decided = entry.updates if entry is not None else ()
    taken = {update.relationship.identity for update in decided if isinstance(update, Revocation)}
    return [each for each in updates if _gives(each) or each.relationship.identity not in taken]


def _renewal(
    run: EngineRun,
    updates: Sequence[Update],
    stood_for: Collection[Relationship],
    entry: Entry | None,
) -> list[Update]:
    """One marker; it brings nothing that is not there."""
    mine = entry.marker(ANY_TIME).identity if entry is not None else None
    return [
        each
        for each in updates
        if not _gives(each)
        or each.relationship.relation != APPLIED
        or each.relationship.identity != mine
    ]


RULES: dict[RunKind, Beyond] = {
    RunKind.REBUILD: _rebuild,
    RunKind.CLOSE: _close,
    RunKind.PURGE: _purge,
    RunKind.AHEAD: _ahead,
    RunKind.RENEWAL: _renewal,
}


def _gives(update: Update) -> bool:
    return not isinstance(update, Revocation)
