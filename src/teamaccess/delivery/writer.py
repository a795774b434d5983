"""Sends writes to SpiceDB: what waits at the same time travels together."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from teamaccess.engine import AlreadyThere, Engine, EngineRefused
from teamaccess.ledger.entry import Entry
from teamaccess.ledger.errors import PositionRefused
from teamaccess.relationships import Relationship, Touch, Update
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


AT_ONCE = 2
"""Writes under way. More of them only make SpiceDB's transactions fail to serialize; meanwhile others
gather, and one transaction for many organizations costs little more than one for one."""

Mark = Callable[[Sequence[Write], str], Awaitable[None]]
"""Keeps that writes have arrived, and the ZedToken at which they have."""

Permit = Callable[[Entry], Awaitable[None]]
"""Keeps that the marker of an entry will be renewed, before it is."""


@dataclass(eq=False)
class Sending:
    """A write on its way, and whoever waits for its ZedToken."""

    write: Write
    token: asyncio.Future[str] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def arrived(self, token: str) -> None:
        """Tell whoever still waits."""
        if not self.token.done():
            self.token.set_result(token)

    def failed(self, failure: Exception) -> None:
        """Tell whoever still waits."""
        if not self.token.done():
            self.token.set_exception(failure)


class Writer:
    """Sends each write once it can, together with those that wait beside it.

    One SpiceDB transaction takes the writes of many organizations. Where it does not take them all, each
    is sent alone, so that nobody suffers for another's.
    """

    def __init__(self, engine: Engine, mark: Mark, permit_renewal: Permit) -> None:
        self._engine, self._mark, self._permit_renewal = engine, mark, permit_renewal
        self._waiting: deque[Sending] = deque()
        self._sending: set[asyncio.Task[None]] = set()

    async def send(self, write: Write) -> str:
        """Return the ZedToken at which it holds, once that is kept.

        Raises EngineUnavailable where nobody knows whether it does, EngineRefused where it never will.
        Who stops waiting does not stop what is on its way.
        """
        sending = Sending(write)
        self._waiting.append(sending)
        if len(self._sending) < AT_ONCE:
            task = asyncio.create_task(self._work())
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        return await sending.token

    async def close(self) -> None:
        """Wait for what is on its way."""
        while self._sending:
            await asyncio.wait(self._sending)

    async def _work(self) -> None:
        while together := self._take():
            try:
                await self._send(together)
            except Exception as failure:
                for each in together:
                    each.failed(failure)

    def _take(self) -> list[Sending]:
        taken: list[Sending] = []
        while self._waiting:
            following = self._waiting.popleft()
            if following.token.done():
                continue  # nobody waits for it any more
            if taken and not fits([each.write for each in taken], following.write):
                self._waiting.appendleft(following)
                break
            taken.append(following)
        return taken

    async def _send(self, together: list[Sending]) -> None:
        writes = [each.write for each in together]
        try:
            token = await self._write(writes)
        except (AlreadyThere, EngineRefused) as answer:
            await self._ask_each(together, answer)
            return
        await self._mark(writes, token)
        for each in together:
            each.arrived(token)

    async def _ask_each(
        self, together: list[Sending], answer: AlreadyThere | EngineRefused
    ) -> None:
        """Some of it is there already, or refused; alone, each position learns what it is."""
        only_one = len(together) == len(together[0].write.entries) == 1
        for each in together:
            token = ""
            try:
                for write in each.write.alone():
                    token = await self._alone(write, answer if only_one else None)
                    await self._mark([write], token)
                each.arrived(token)
            except Exception as failure:
                each.failed(failure)

    async def _alone(self, write: Write, answer: AlreadyThere | EngineRefused | None) -> str:
        """Return the token of a single position, given what SpiceDB answered to it, if it did."""
        try:
            if answer is not None:
                raise answer
            return await self._write([write])
        except AlreadyThere:
            # SpiceDB also says so of a marker whose 30 days are over and that nobody has cleared
            # away yet; that one is renewed, which gives a token as well.
            marker = write.last.marker(datetime.now(UTC))
            return await self._engine.find(marker) or await self._renew(write.last, marker)
        except EngineRefused as refused:
            position = write.last.position
            raise PositionRefused(
                write.organization, position, refused.reason, refused.message
            ) from refused

    async def _renew(self, entry: Entry, marker: Relationship) -> str:
        await self._permit_renewal(entry)
        return await self._engine.write([Touch(marker)], metadata=metadata([entry]))

    async def _write(self, writes: Sequence[Write]) -> str:
        now = datetime.now(UTC)
        return await self._engine.write(
            [update for write in writes for update in write.updates],
            create=[marker for write in writes for marker in write.markers(now)],
            metadata=metadata(entry for write in writes for entry in write.entries),
        )
