"""Batches of ledger entries that travel to SpiceDB in one WriteRelationships."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from teamaccess.ledger.entry import Entry
from teamaccess.relationships import Relationship, Update
from teamaccess.storage import OrganizationId, RunKind

LARGEST_WRITE = 1000
"""Updates that SpiceDB accepts in one write, including markers."""
MOST_POSITIONS = 100
"""Positions in one write. Each adds to the write's metadata, and SpiceDB accepts 64 KiB of it."""


@dataclass(frozen=True)
class Write:
    """Consecutive positions of one organization, which are applied together or not at all."""

    entries: tuple[Entry, ...]

    @property
    def organization(self) -> OrganizationId:
        """The organization of the positions."""
        return self.entries[0].organization

    @property
    def last(self) -> Entry:
        """The newest entry."""
        return self.entries[-1]

    @cached_property
    def updates(self) -> tuple[Update, ...]:
        """The net updates. If several update the same relationship, the last one counts."""
        net = {
            update.relationship.identity: update
            for entry in self.entries
            for update in entry.updates
        }
        return (*net.values(), *self.last.head_updates(since=self.entries[0]))

    def markers(self, now: datetime) -> Iterator[Relationship]:
        """Yield the marker of each position."""
        return (entry.marker(now) for entry in self.entries)

    @property
    def size(self) -> int:
        """The number of updates in SpiceDB's write, including markers."""
        return len(self.updates) + len(self.entries)

    def split(self) -> Iterator["Write"]:
        """Yield each position as a write of its own."""
        return (Write((entry,)) for entry in self.entries)


def merge_entries(entries: Iterable[Entry]) -> Iterator[Write]:
    """Yield consecutive positions of one organization in as few writes as possible."""
    write: Write | None = None
    for entry in entries:
        longer = Write((*write.entries, entry)) if write else Write((entry,))
        if write and (longer.size > LARGEST_WRITE or len(longer.entries) > MOST_POSITIONS):
            yield write
            longer = Write((entry,))
        write = longer
    if write:
        yield write


def fits_together(writes: Sequence[Write], another: Write) -> bool:
    """Return whether the write fits into one batch with the others."""
    all_writes = [*writes, another]
    return (
        sum(write.size for write in all_writes) <= LARGEST_WRITE
        and sum(len(write.entries) for write in all_writes) <= MOST_POSITIONS
    )


def run_metadata(kind: RunKind, runs: Mapping[str, int], request_id: str) -> dict[str, Any]:
    """Return the metadata of a write that belongs to runs. `runs` maps organizations to run numbers.

    The metadata is for people who read Watch. The watcher trusts only the rows of the runs.
    """
    named = [
        {"organization": organization, "run": str(run), "request_id": request_id}
        for organization, run in runs.items()
    ]
    return {"teamaccess": {kind.value: named}}


def write_metadata(entries: Iterable[Entry], *, ahead: bool = False) -> dict[str, Any]:
    """Return the metadata of a write, which SpiceDB's Watch reports.

    With `ahead`, the entries are sent before their turn, and will be sent again in their turn.
    """
    return {"teamaccess": {"ahead" if ahead else "changes": [entry.origin for entry in entries]}}
