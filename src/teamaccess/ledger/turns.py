"""Who of this process changes an organization next."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from teamaccess.ledger.errors import OrganizationBusy
from teamaccess.models import OrganizationId

PATIENCE_SECONDS = 10.0
"""How long a change waits for those of its process that came before it."""


class Turn:
    """The right to change some organizations, until it is given up."""

    def __init__(self) -> None:
        self._taken: list[asyncio.Lock] = []

    async def take(self, lock: asyncio.Lock) -> None:
        """Wait for those who came before."""
        await lock.acquire()
        self._taken.append(lock)

    def give_up(self) -> None:
        """Let the next ones begin; nothing happens the second time."""
        while self._taken:
            self._taken.pop().release()


class Turns:
    """A queue before each organization: first come, first served.

    PostgreSQL's lock would do, but who waits there occupies a connection, and a crowd before one
    organization would leave none for all others. So of each organization one change of a process is at
    PostgreSQL, and only processes wait there for each other.
    """

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[OrganizationId, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def taken(self, organizations: Iterable[OrganizationId]) -> AsyncIterator[Turn]:
        """Wait for one's turn in each, in the order of ids; raises OrganizationBusy."""
        turn = Turn()
        try:
            for organization in sorted(set(organizations)):
                lock = self._locks.setdefault(organization, asyncio.Lock())
                try:
                    async with asyncio.timeout(PATIENCE_SECONDS):
                        await turn.take(lock)
                except TimeoutError as cause:
                    raise OrganizationBusy(organization=organization) from cause
            yield turn
        finally:
            turn.give_up()
