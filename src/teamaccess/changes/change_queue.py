"""The queue of changes: the order in which one process changes organizations."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from teamaccess.common.errors import TooMany
from teamaccess.common.fairness import FairSlots, Turn
from teamaccess.ledger.entry import Attribution
from teamaccess.ledger.errors import OrganizationBusy
from teamaccess.storage import Channel, OrganizationId

PATIENCE_SECONDS = 10.0
"""How long a change waits for its turn behind other changes of its process."""
AT_ONCE = 24
"""Changes under way in one process, each with a connection to PostgreSQL."""
SHARE = 4
"""How many of them one caller may have, in all of the caller's organizations."""
MOST_WAITING = 200
"""Waiting changes of one caller for one organization."""


class TooManyWaiting(TooMany):
    """The caller already has as many changes waiting for the organization as one caller may have."""

    message = "{waiting} of your changes to {organization} are already waiting. Send fewer at once."
    retry_after = 2


class ChangeQueue:
    """A queue for each organization, in which callers take turns.

    PostgreSQL's lock alone would be correct, but each waiting change would occupy a connection, and a
    crowd for one organization would leave no connections for others. So each process has at most one
    change of an organization at PostgreSQL's lock. A caller with many changes waits behind the next
    change of each other caller, and uses at most a share of the connections.
    """

    def __init__(self) -> None:
        self._organizations: WeakValueDictionary[OrganizationId, FairSlots] = WeakValueDictionary()
        self._connections = FairSlots(AT_ONCE, SHARE)

    @asynccontextmanager
    async def taken(
        self,
        organizations: Sequence[OrganizationId],
        attribution: Attribution,
        asker: str = "",
    ) -> AsyncIterator[Turn]:
        """Wait for the turn in each organization, in the order of ids, and hold it during the block.

        `asker` is the caller that takes the turn, if it is not the actor of the change, as in a plan.
        Raises OrganizationBusy after ten seconds, and TooManyWaiting if the caller already has too many
        waiting changes.
        """
        turn, caller = Turn(), asker or attribution.caller
        try:
            for organization in sorted(set(organizations)):
                queue = self._organizations.setdefault(organization, FairSlots(1, 1))
                if (waiting := queue.waiting(caller)) >= MOST_WAITING:
                    raise TooManyWaiting(organization=organization, waiting=waiting)
                await _patiently(turn.take(queue, caller, partial(_crowded, queue)), organization)
            if asker or attribution.channel is Channel.API:
                rests = partial(self._connections.has_backlog, caller)
                await _patiently(turn.take(self._connections, caller, rests), *organizations)
            yield turn
        finally:
            turn.give_up()


def _crowded(queue: FairSlots) -> bool:
    return queue.crowded


async def _patiently(taking: Coroutine[Any, Any, None], *organizations: OrganizationId) -> None:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await taking
    except TimeoutError as cause:
        raise OrganizationBusy(organization=", ".join(organizations)) from cause
