"""Who of this process changes an organization next."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from teamaccess.common.errors import TooMany
from teamaccess.common.fairness import JointSlots, Slot, Turn
from teamaccess.ledger.entry import Attribution
from teamaccess.ledger.errors import OrganizationBusy
from teamaccess.storage import Channel, OrganizationId

PATIENCE_SECONDS = 10.0
"""How long a change waits for those of its process that came before it."""
AT_ONCE = 24
"""Changes under way in a process: so many connections to PostgreSQL they take at most."""
SHARE = 4
"""Of these, those of one caller, who may have many organizations."""
ANONYMOUS = "anonymous"
"""The caller of a request without a token. In an organization they are a caller of that organization's:
strangers who accept invitations of one do not use up the share of those who accept another's."""
ANONYMOUS_AT_ONCE = 12
"""Connections of all anonymous callers together. The others are left to known callers."""
MOST_WAITING = 200
"""Changes of one caller that wait for one organization."""


class TooManyWaiting(TooMany):
    """The caller already has as many changes waiting for the organization as one caller may have."""

    message = "{waiting} of your changes to {organization} are already waiting. Send fewer at once."
    retry_after = 2


class ChangeQueue:
    """A queue before each organization, in which callers take turns.

    PostgreSQL's lock would do, but each change that waits there occupies a connection, and a crowd before
    one organization would leave none for all others. So of each organization one change of a process is
    at PostgreSQL, and only processes wait there for each other. A caller with many changes waits behind
    everybody else's next one, and takes a share of the connections at most.

    SECURITY: a change gets the organization's turn and its connection together, and holds neither while
    it waits. A caller who has used up their share elsewhere keeps nobody else waiting.
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
        """Wait for a turn in all organizations and for a connection, and hold them in the block.

        `asker` is the caller whose turn it takes where somebody else would make the change: in a plan.
        Raises OrganizationBusy after ten seconds, and TooManyWaiting for a caller who has too many
        changes waiting.
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
