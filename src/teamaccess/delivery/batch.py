"""What one WriteRelationships carries: positions that follow each other, of one or more organizations."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from teamaccess.ledger.entry import Entry
from teamaccess.relationships import Relationship, Update
from teamaccess.storage import OrganizationId, RunKind

LARGEST_WRITE = 1000
"""Updates that SpiceDB takes in one write, markers included."""
MOST_POSITIONS = 100
"""Each adds to the write's metadata, of which SpiceDB takes 64 KiB."""


@dataclass(frozen=True)
class Write:
    """Consecutive positions of one organization, which arrive together or not at all."""

    entries: tuple[Entry, ...]

    @property
    def organization(self) -> OrganizationId:
        """Whose positions they are."""
        return self.entries[0].organization

    @property
    def last(self) -> Entry:
        """The newest of them."""
        return self.entries[-1]

    @cached_property
    def updates(self) -> tuple[Update, ...]:
        """What they come to: of several updates of one relationship the last one counts."""
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
        """How many of the updates that SpiceDB takes at once it makes."""
        return len(self.updates) + len(self.entries)

    def alone(self) -> Iterator["Write"]:
        """Yield each position as a write of its own."""
        return (Write((entry,)) for entry in self.entries)


def merged(entries: Iterable[Entry]) -> Iterator[Write]:
    """Put consecutive positions of one organization into as few writes as they fit in."""
    write: Write | None = None
    for entry in entries:
        longer = Write((*write.entries, entry)) if write else Write((entry,))
        if write and (longer.size > LARGEST_WRITE or len(longer.entries) > MOST_POSITIONS):
            yield write
            longer = Write((entry,))
        write = longer
    if write:
        yield write


def fits(writes: Sequence[Write], another: Write) -> bool:
    """Whether another organization's write can travel with these."""
    together = [*writes, another]
    return (
        sum(write.size for write in together) <= LARGEST_WRITE
        and sum(len(write.entries) for write in together) <= MOST_POSITIONS
    )


def of_run(kind: RunKind, runs: Mapping[str, int], request_id: str) -> dict[str, Any]:
    """Return what Watch tells of a write that belongs to runs, by organization.

    It is for whoever reads Watch. The watcher believes the rows of the runs, and none of this.
    """
    named = [
        {"organization": organization, "run": str(run), "request_id": request_id}
        for organization, run in runs.items()
    ]
    return {"teamaccess": {kind.value: named}}


def metadata(entries: Iterable[Entry], *, ahead: bool = False) -> dict[str, Any]:
    """Return what SpiceDB's Watch tells of a write of ours.

    `ahead` says that it is sent before its turn, and will be again.
    """
    return {"teamaccess": {"ahead" if ahead else "changes": [each.origin for each in entries]}}
