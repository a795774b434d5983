"""The queue of changes: the order in which one process changes organizations."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from teamaccess.common.errors import TooMany
from teamaccess.common.sharing.fairness import JointSlots, Slot, Turn
from teamaccess.ledger.entry import Attribution
from teamaccess.ledger.errors import OrganizationBusy
from teamaccess.storage import Channel, OrganizationId

PATIENCE_SECONDS = 10.0
"""How long a change waits for its turn behind other changes of its process."""
AT_ONCE = 24
"""Changes under way in one process, each with a connection to PostgreSQL."""
SHARE = 4
"""How many of them one caller may have, in all of the caller's organizations."""
ANONYMOUS = "anonymous"
"""The caller of a request without a token. Each organization has an anonymous caller of its own, so
people who accept invitations of one organization do not use up the share of another's."""
ANONYMOUS_AT_ONCE = 12
"""Connections of all anonymous callers together. The others are left to known callers."""
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

    SECURITY: a change gets the organization's turn and its connection together, and holds neither while
    it waits. A caller that has used up its share elsewhere keeps no other caller waiting.
    """

    def __init__(self) -> None:
        self._slots = JointSlots()

    @asynccontextmanager
    async def taken(
        self,
        organizations: Sequence[OrganizationId],
        attribution: Attribution,
        asker: str = "",
    ) -> AsyncIterator[Turn]:
        """Wait for the turn in all organizations and for a connection, and hold them in the block.

        `asker` is the caller that takes the turn, if it is not the actor of the change, as in a plan.
        Raises OrganizationBusy after ten seconds, and TooManyWaiting if the caller already has too many
        waiting changes.
        """
        caller = asker or attribution.caller
        if caller == ANONYMOUS:
            caller = ":".join((ANONYMOUS, *sorted(set(organizations))))
        for organization in organizations:
            if (waiting := self.waiting(organization, caller)) >= MOST_WAITING:
                raise TooManyWaiting(organization=organization, waiting=waiting)
        line, *slots = [*map(_turn, sorted(set(organizations)))] or [_without_organization(caller)]
        if asker or attribution.channel is Channel.API:
            slots += _connection(caller)
        turn = Turn()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await turn.take(self._slots, line, caller, *slots)
        except TimeoutError as cause:
            raise OrganizationBusy(organization=", ".join(organizations)) from cause
        try:
            yield turn
        finally:
            turn.give_up()

    def waiting(self, organization: OrganizationId, caller: str) -> int:
        """Return how many of the caller's changes wait for the organization."""
        return self._slots.waiting(_turn(organization), caller)

    def connections(self, caller: str) -> int:
        """Return how many connections the caller's changes hold."""
        return self._slots.held(("caller", caller))


def _turn(organization: OrganizationId) -> Slot:
    """Return the only turn of the organization in this process."""
    return Slot(("organization", organization), 1)


def _without_organization(caller: str) -> Slot:
    """Return a turn of the caller's changes that lock no organization. Only connections limit these."""
    return Slot(("no organization", caller), sys.maxsize)


def _connection(caller: str) -> list[Slot]:
    """Return what a connection of the caller counts as."""
    of_all = [Slot("connections", AT_ONCE)]
    if caller.partition(":")[0] == ANONYMOUS:
        of_all.append(Slot("anonymous connections", ANONYMOUS_AT_ONCE))
    return [Slot(("caller", caller), SHARE), *of_all]
