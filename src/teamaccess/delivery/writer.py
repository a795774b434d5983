"""Write positions of ledgers to SpiceDB. Writes that wait at the same time travel in one batch."""

import asyncio
from collections import deque
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from teamaccess.engine import (
    FULLY_CONSISTENT,
    AlreadyThere,
    Consistency,
    Engine,
    EngineRefused,
    NotThere,
)
from teamaccess.ledger.entry import Entry
from teamaccess.ledger.errors import PositionRefused
from teamaccess.relationships import (
    Delete,
    Relationship,
    Revocation,
    Touch,
    Update,
    ledger_position,
    organization,
)
from teamaccess.storage import OrganizationId, RunKind

LARGEST_WRITE = 1000
"""Updates that SpiceDB accepts in one write, including markers."""
MOST_POSITIONS = 100
"""Positions in one write. Each adds to the write's metadata, and SpiceDB accepts 64 KiB of it."""

# `organization:acme#applied@ledger_position:43-8f14e45fceea[expiration:...]` is the marker of position
# 43. It is created, never touched, in the same write as the position's updates. So SpiceDB refuses a
# second delivery as a whole, however late it comes.
APPLIED = "applied"
# `organization:acme#head@ledger_position:43-8f14e45fceea` is the head relationship. It exists only for
# the newest position. If the ledger's newest position is not the head in SpiceDB, the two have different
# histories, because one of them was replaced or restored. Then no decision may rely on both.
HEAD = "head"
MARKER_LIFETIME = timedelta(days=30)
"""How long SpiceDB refuses a second delivery of a position."""


def position_marker(id: OrganizationId, position: int, hash: bytes, now: datetime) -> Relationship:
    """Return the marker of one position, which expires after thirty days.

    Only SpiceDB compares this end, with its own clock. So the time of any of our clocks is good enough.
    """
    applied = ledger_position(position, hash.hex())
    return organization(id).relates(APPLIED, applied, until=now + MARKER_LIFETIME)


def head_marker(id: OrganizationId, position: int, hash: bytes) -> Relationship:
    """Return the head relationship of the newest position."""
    return organization(id).relates(HEAD, ledger_position(position, hash.hex()))


def is_marker(relationship: Relationship) -> bool:
    """Return whether the relationship is a marker or a head relationship, which give no access."""
    return relationship.subject.object.type == "ledger_position"


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
    def net_updates(self) -> list[Update]:
        """The updates of access. If several update the same relationship, the last one counts."""
        net = {each.relationship.identity: each for entry in self.entries for each in entry.updates}
        return list(net.values())

    @property
    def head(self) -> Relationship:
        """The head relationship of the newest position."""
        return head_marker(self.organization, self.last.position, self.last.hash)

    @property
    def head_updates(self) -> tuple[Update, ...]:
        """The updates that make the newest position the head."""
        first = self.entries[0]
        if first.position == 1:
            return (Touch(self.head),)
        before = head_marker(self.organization, first.position - 1, first.previous_hash)
        return (Delete(before), Touch(self.head))

    @cached_property
    def updates(self) -> tuple[Update, ...]:
        """Everything but the markers."""
        return (*self.net_updates, *self.head_updates)

    def markers(self, now: datetime) -> Iterator[Relationship]:
        """Yield the marker of each position. It says that SpiceDB has it with this history."""
        return (
            position_marker(self.organization, entry.position, entry.hash, now)
            for entry in self.entries
        )

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
    together = [*writes, another]
    return (
        sum(write.size for write in together) <= LARGEST_WRITE
        and sum(len(write.entries) for write in together) <= MOST_POSITIONS
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

    A write that names no position is foreign. With `ahead`, the entries are sent before their turn, and
    will be sent again in their turn.
    """
    positions = [
        {
            "organization": entry.organization,
            "position": str(entry.position),
            "actor": entry.actor,
            "request_id": entry.request_id,
        }
        for entry in entries
    ]
    return {"teamaccess": {"ahead" if ahead else "changes": positions}}


BATCHES_AT_ONCE = 2
"""Batches under way. With more, SpiceDB's transactions would fail to serialize. Meanwhile other writes
gather, and a transaction for many organizations costs little more than a transaction for one."""

RecordArrival = Callable[[Sequence[Write], str], Awaitable[None]]
"""Records that SpiceDB has the writes, with their ZedToken."""

ReadClock = Callable[[], Awaitable[datetime]]
"""Returns the time of PostgreSQL's clock, which decides every expiry."""

PermitRun = Callable[[RunKind, Entry], Awaitable[None]]
"""Records that something of an entry will be written again, before the write."""


@dataclass(eq=False)
class QueuedWrite:
    """A write in the queue, with a future for its ZedToken."""

    write: Write
    token: asyncio.Future[str] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def arrived(self, token: str) -> None:
        """Return the ZedToken to the waiting caller, if it still waits."""
        if not self.token.done():
            self.token.set_result(token)

    def failed(self, failure: Exception) -> None:
        """Raise the failure in the waiting caller, if it still waits."""
        if not self.token.done():
            self.token.set_exception(failure)


class Writer:
    """Sends each write as soon as possible, in one batch with other waiting writes.

    A batch is one SpiceDB transaction with the writes of many organizations. If SpiceDB refuses it, each
    write is sent alone, so that no organization suffers from another's write.
    """

    def __init__(
        self,
        engine: Engine,
        record_arrival: RecordArrival,
        permit_run: PermitRun,
        read_clock: ReadClock,
    ) -> None:
        self._engine = engine
        self._record_arrival, self._permit_run = record_arrival, permit_run
        self._read_clock = read_clock
        self._waiting: deque[QueuedWrite] = deque()
        self._sending: set[asyncio.Task[None]] = set()

    async def send(self, write: Write) -> str:
        """Send the write, and return its ZedToken once the arrival is recorded.

        Raises EngineUnavailable if the outcome is unknown, EngineRefused if SpiceDB refuses it for good.
        A caller that stops waiting does not stop a write that is under way.
        """
        queued = QueuedWrite(write)
        self._waiting.append(queued)
        if len(self._sending) < BATCHES_AT_ONCE:
            task = asyncio.create_task(self._send_batches())
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        return await queued.token

    async def close(self) -> None:
        """Wait for the writes that are under way."""
        while self._sending:
            await asyncio.wait(self._sending)

    async def _send_batches(self) -> None:
        while batch := self._next_batch():
            try:
                await self._send(batch)
            except Exception as failure:
                for queued in batch:
                    queued.failed(failure)

    def _next_batch(self) -> list[QueuedWrite]:
        batch: list[QueuedWrite] = []
        while self._waiting:
            following = self._waiting.popleft()
            if following.token.done():
                continue  # its caller no longer waits
            if batch and not fits_together([queued.write for queued in batch], following.write):
                self._waiting.appendleft(following)
                break
            batch.append(following)
        return batch

    async def _send(self, batch: list[QueuedWrite]) -> None:
        writes = [queued.write for queued in batch]
        try:
            token = await self._write(writes)
        except (AlreadyThere, EngineRefused) as answer:
            await self._send_each_alone(batch, answer)
            return
        await self._record_arrival(writes, token)
        for queued in batch:
            queued.arrived(token)

    async def _send_each_alone(
        self, batch: list[QueuedWrite], answer: AlreadyThere | EngineRefused
    ) -> None:
        """Send each position of a refused batch alone, to learn which one exists or is refused."""
        only_one = len(batch) == len(batch[0].write.entries) == 1
        for queued in batch:
            try:
                queued.arrived(await self._send_alone(queued.write, answer if only_one else None))
            except Exception as failure:
                queued.failed(failure)

    async def _send_alone(self, write: Write, answer: AlreadyThere | EngineRefused | None) -> str:
        """Send the positions of a write one by one; return the last ZedToken.

        `answer` is SpiceDB's answer to the only position, if known. SECURITY: the arrival of a position
        that SpiceDB had already is recorded after its updates were found in force.
        """
        token, unproven = "", False
        for position in write.split():
            token, sent = await self._send_position(position, answer)
            unproven = unproven or not sent
            if not unproven:
                await self._record_arrival([position], token)
        if unproven:
            token = await self._deliver_missing(write) or token
            await self._record_arrival([write], token)
        return token

    async def _deliver_missing(self, write: Write) -> str | None:
        """Write the updates of positions whose markers came without them. Return the ZedToken, if any.

        Nothing is written if SpiceDB has a later position, which may have reversed the updates.
        """
        updates = await not_in_force(self._engine, write.net_updates, await self._read_clock())
        last, head = write.last, write.head
        if not updates or await self._engine.find_zed_token(head) is None:
            return None
        await self._permit_run(RunKind.REDELIVERY, last)
        metadata = write_metadata(write.entries)
        try:
            return await self._engine.write(updates, metadata=metadata, only_if=head)
        except NotThere:
            return None
        except EngineRefused as refused:
            raise PositionRefused(
                write.organization, last.position, refused.reason, refused.message
            ) from refused

    async def _send_position(
        self, write: Write, answer: AlreadyThere | EngineRefused | None
    ) -> tuple[str, bool]:
        """Return the ZedToken of a single position, and whether it was sent now.

        `answer` is SpiceDB's answer to it, if known.
        """
        try:
            if answer is not None:
                raise answer
            return await self._write([write]), True
        except AlreadyThere:
            # SpiceDB answers the same for an expired marker that its garbage collection has not removed
            # yet. Such a marker is renewed, which gives a token as well.
            [marker] = write.markers(datetime.now(UTC))
            token = await self._engine.find_zed_token(marker)
            return token or await self._renew(write.last, marker), False
        except EngineRefused as refused:
            position = write.last.position
            raise PositionRefused(
                write.organization, position, refused.reason, refused.message
            ) from refused

    async def _renew(self, entry: Entry, marker: Relationship) -> str:
        await self._permit_run(RunKind.RENEWAL, entry)
        return await self._engine.write([Touch(marker)], metadata=write_metadata([entry]))

    async def _write(self, writes: Sequence[Write]) -> str:
        now = datetime.now(UTC)
        return await self._engine.write(
            [update for write in writes for update in write.updates],
            create=[marker for write in writes for marker in write.markers(now)],
            metadata=write_metadata(entry for write in writes for entry in write.entries),
        )


async def not_in_force(
    engine: Engine,
    updates: Iterable[Update],
    now: datetime,
    at: Consistency = FULLY_CONSISTENT,
) -> list[Update]:
    """Return those of the updates that SpiceDB's relationships contradict.

    SECURITY: the marker of a position does not prove that its updates are in force. Everybody with
    SpiceDB's key can write the marker and the head of a position without its updates.

    A relationship that has expired counts as gone, whether SpiceDB still holds it or not. `now` is the
    time of PostgreSQL's clock: with a clock that is ahead, a missing update could seem to have expired.
    Raises EngineUnavailable, and EngineRefused if SpiceDB does not remember the revision.
    """
    return [update async for update in _contradicted(engine, updates, now, at)]


async def are_in_force(
    engine: Engine, updates: Iterable[Update], now: datetime, at: Consistency
) -> bool:
    """Return whether SpiceDB's relationships contradict none of the updates, as `not_in_force` does.

    It asks no more questions after the first contradicted update.
    """
    async for _ in _contradicted(engine, updates, now, at):
        return False
    return True


async def _contradicted(
    engine: Engine, updates: Iterable[Update], now: datetime, at: Consistency
) -> AsyncIterator[Update]:
    for update in updates:
        wanted = update.relationship
        if not isinstance(update, Revocation) and wanted.expired(now):
            continue
        held = await engine.find(wanted, at)
        gone = held is None or held.expired(now)
        if gone != isinstance(update, Revocation) or (not gone and held != wanted):
            yield update
