"""Bring decided entries into SpiceDB: in order, exactly once, whoever tries and however often."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from math import inf
from typing import NamedTuple
from weakref import WeakValueDictionary

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from teamaccess.delivery import applications, queue, stopped
from teamaccess.delivery.position import follows
from teamaccess.delivery.provenance import runs
from teamaccess.delivery.writer import Write, Writer, merged, metadata
from teamaccess.engine import Engine
from teamaccess.ledger.entry import Entry
from teamaccess.ledger.errors import PositionRefused
from teamaccess.storage import OrganizationId, RunKind

log = structlog.get_logger()

REMEMBERED = 100_000


class Confirmed(NamedTuple):
    """The last entry of an organization that this process saw arrive in SpiceDB, and when."""

    hash: bytes
    token: str
    at: float


class Applier:
    """Applies entries to SpiceDB and keeps what became of them.

    The position markers make every attempt safe: an entry that is already there is refused whole,
    which confirms it. The locks and what is remembered here only spare the second attempt.
    """

    def __init__(self, engine: Engine, marks: AsyncEngine) -> None:
        self._engine = engine
        self._marks = marks
        self._writer = Writer(engine, self._mark, self._permit_renewal)
        self._locks: WeakValueDictionary[OrganizationId, asyncio.Lock] = WeakValueDictionary()
        self._confirmed: dict[OrganizationId, Confirmed] = {}

    async def close(self) -> None:
        """Wait for what is on its way; the connections must live so long."""
        await self._writer.close()

    async def apply(self, entries: Sequence[Entry]) -> str:
        """Apply entries of one organization that follow on what is confirmed.

        Returns the last one's token. Raises EngineUnavailable where SpiceDB does not answer (the
        rest stays pending), EngineRefused where it never will (the organization stops), and OtherHistory
        where it has a ledger of that name already.
        """
        organization, last = entries[0].organization, entries[-1]
        async with self._lock(organization):
            confirmed = self._confirmed.get(organization)
            if confirmed is not None and confirmed.hash == last.hash:
                return confirmed.token  # another request has brought it in meanwhile
            if entries[0].position == 1:
                await follows(self._engine, entries)  # before it, there was nothing to prove
            return await self._send(entries)

    async def catch_up(
        self, organization: OrganizationId, head: bytes | None = None, since: float = inf
    ) -> str | None:
        """Apply all that is pending; return the token at which it holds, None where nothing was.

        `head` is the hash up to which it must be there and `since` when its caller began to look,
        by `time.monotonic()`: often another request of this process has brought it in meanwhile.
        What was confirmed before that is not believed: a database that calls it pending all the same
        has lost the mark or was restored, and so may SpiceDB have been. Raises OtherHistory then.
        """
        async with self._lock(organization):
            confirmed = self._confirmed.get(organization)
            if confirmed is not None and confirmed.hash == head and confirmed.at >= since:
                return confirmed.token
            token: str | None = None
            while pending := await self._pending(organization):
                await follows(self._engine, pending)
                token = await self._send(pending)
            if token is None:
                async with self._marks.begin() as connection:
                    token = await applications.settle_applications(connection, organization)
            return token

    async def revoke_ahead(self, entries: Sequence[Entry]) -> str:
        """Take away at once what entries take away whose turn has not come; return the token.

        They are written again in their turn, which then changes nothing. SECURITY: our database says
        first that they may be: the watcher takes no write's word for it.
        """
        await self._permit(RunKind.AHEAD, entries)
        tokens = [
            await self._engine.write(entry.updates, metadata=metadata([entry], ahead=True))
            for entry in entries
        ]
        return tokens[-1]

    async def skip(self, entry: Entry) -> str:
        """Have SpiceDB count an entry as arrived without what it says; return the token.

        Raises OtherHistory where SpiceDB does not stand just before it.
        """
        nothing = replace(entry, updates=())
        async with self._lock(entry.organization):
            await follows(self._engine, [entry])
            return await self._writer.send(Write((nothing,)))

    async def hand_over(self, organization: OrganizationId) -> None:
        """Leave what is pending to the workers, from now on."""
        async with self._marks.begin() as connection:
            await queue.hand_over(connection, organization)

    def _lock(self, organization: OrganizationId) -> asyncio.Lock:
        return self._locks.setdefault(organization, asyncio.Lock())

    async def _pending(self, organization: OrganizationId) -> list[Entry]:
        async with self._marks.begin() as connection:
            try:
                return await applications.pending(connection, organization)
            except PositionRefused as unreadable:
                await self._stop(unreadable)
                raise

    async def _send(self, entries: Sequence[Entry]) -> str:
        """Return the token of the last write; what is refused stops the organization."""
        try:
            tokens = [await self._writer.send(write) for write in merged(entries)]
        except PositionRefused as refused:
            await self._stop(refused)
            raise
        return tokens[-1]

    async def _stop(self, refused: PositionRefused) -> None:
        async with self._marks.begin() as connection:
            await stopped.refuse(connection, refused)
        entry = f"{refused.organization}:{refused.position}"
        log.error("organization_stopped", entry=entry, cause=str(refused))

    async def _permit_renewal(self, entry: Entry) -> None:
        await self._permit(RunKind.RENEWAL, [entry])

    async def _permit(self, kind: RunKind, entries: Sequence[Entry]) -> None:
        """Say in our database that what belongs to these entries will be written out of turn."""
        async with self._marks.begin() as connection:
            for entry in entries:
                place = (entry.organization, entry.position)
                await runs.begin(connection, kind, [place], request_id=entry.request_id)

    async def _mark(self, writes: Sequence[Write], token: str) -> None:
        # Losing these rows in a crash loses nothing: the markers answer for them at the next attempt.
        # So the connections of `marks` do not wait for the disk.
        async with self._marks.begin() as connection:
            await applications.confirm(connection, [write.last for write in writes], token)
        if len(self._confirmed) >= REMEMBERED:
            self._confirmed.clear()
        for write in writes:
            self._confirmed[write.organization] = Confirmed(
                write.last.hash, token, time.monotonic()
            )
