"""Who of this process changes an organization next."""

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
"""How long a change waits for those of its process that came before it."""
AT_ONCE = 24
"""Changes under way in a process: so many connections to PostgreSQL they take at most."""
SHARE = 4
"""Of these one caller's, who may have many organizations."""
MOST_WAITING = 200
"""Changes of one caller that wait for one organization."""


class TooManyWaiting(TooMany):
    """The caller already has as many changes waiting for the organization as one caller may have."""

    message = "{waiting} of your changes to {organization} are already waiting. Send fewer at once."
    retry_after = 2


class ChangeQueue:
    """A queue before each organization, in which callers take turns.

    PostgreSQL's lock would do, but who waits there occupies a connection, and a crowd before one
    organization would leave none for all others. So of each organization one change of a process is at
    PostgreSQL, and only processes wait there for each other. A caller with many changes waits behind
    everybody else's next one, and takes a share of the connections at most.
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
        """Wait for one's turn in each, in the order of ids.

        `asker` is the caller whose turn it takes where somebody else would make the change: in a plan.
        Raises OrganizationBusy after ten seconds, and TooManyWaiting for a caller who has too many
        changes waiting.
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
