"""What stands in an organization's graph at a position, and since which position, by its ledger alone."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import bindparam, func, select

from teamaccess.ledger import Sessions
from teamaccess.models import LedgerEntry, OrganizationId
from teamaccess.relationships.expiration import parse_instant
from teamaccess.relationships.updates import WAS

AT_A_TIME = 20
"""Entries: each has at most 1,000 updates, and between pages others have their turn."""
EXPIRATION = "[expiration:"
PAGE = (
    select(LedgerEntry.position, LedgerEntry.decided_at, LedgerEntry.updates)
    .where(
        LedgerEntry.organization_id == bindparam("organization"),
        LedgerEntry.position > bindparam("after"),
        LedgerEntry.position <= bindparam("until"),
        func.cardinality(LedgerEntry.updates) > 0,
    )
    .order_by(LedgerEntry.position)
    .limit(AT_A_TIME)
)


class Fact(NamedTuple):
    """A relationship that stands, or stood."""

    identity: str
    """Its text without the expiration."""
    expiration: str
    """As the text has it; empty where it has none."""
    began: int
    """The position that gave it; it has stood since then."""
    position: int
    """The position that says it as it stands, or that ended it: a later one where that was moved."""

    @property
    def text(self) -> str:
        """The relationship as the ledger has it."""
        return self.identity + self.expiration

    @property
    def until(self) -> datetime | None:
        """When it ends by itself."""
        return parse_instant(self.expiration[len(EXPIRATION) : -1]) if self.expiration else None


class Facts(NamedTuple):
    """What a ledger says at a position, by identity."""

    standing: dict[str, Fact]
    """What has expired is still among it: an entry ends it, soon after."""
    lost: dict[str, Fact]
    """What stood once and does not any more, with the position that ended it."""


async def facts_at(reads: Sessions, organization: OrganizationId, position: int) -> Facts:
    """Return what stands after the entry at this position, replayed from the first one.

    Nothing is believed of the rows, only of the ledger, whose chain can be verified.
    """
    return await forward(reads, organization, Facts({}, {}), 0, position)


async def forward(
    reads: Sessions, organization: OrganizationId, facts: Facts, after: int, until: int
) -> Facts:
    """Return what stood after one entry, brought forward to a later one; the facts are changed."""
    async for at, decided_at, updates in _entries(reads, organization, after, until):
        for update in updates:
            _take(facts, update, at, decided_at)
    return facts


def changed(facts: Facts, updates: Iterable[str], position: int, decided_at: datetime) -> Facts:
    """Return what would stand if these were decided next; the facts are left as they are."""
    facts = Facts(dict(facts.standing), dict(facts.lost))
    for update in updates:
        _take(facts, update, position, decided_at)
    return facts


def _take(facts: Facts, update: str, position: int, decided_at: datetime) -> None:
    """Bring the state forward by one update, as the ledger spells it."""
    operation, _, rest = update.partition(" ")
    if operation == "TOUCH":
        identity, expiration = _split(rest.partition(WAS)[0])
        began = _began(facts.standing.get(identity), position, decided_at)
        facts.standing[identity] = Fact(identity, expiration, began, position)
        facts.lost.pop(identity, None)
    elif operation == "DELETE":
        identity, expiration = _split(rest)
        known = facts.standing.pop(identity, None)
        began = position if known is None else known.began
        facts.lost[identity] = Fact(identity, expiration, began, position)
    # RESTORE and PURGE bring SpiceDB back to what the ledger says, and change nothing of it


def _began(known: Fact | None, position: int, decided_at: datetime) -> int:
    """Return since when it stands: anew, if it was not there or had come to its end."""
    if known is None or (known.until is not None and known.until <= decided_at):
        return position
    return known.began


def _split(text: str) -> tuple[str, str]:
    identity, mark, end = text.partition(EXPIRATION)
    return identity, mark + end


async def _entries(
    reads: Sessions, organization: OrganizationId, after: int, until: int
) -> AsyncIterator[tuple[int, datetime, list[str]]]:
    while after < until:
        names = {"organization": organization, "after": after, "until": until}
        async with reads() as session:
            page = (await session.execute(PAGE, names)).all()
        for position, decided_at, updates in page:
            yield position, decided_at, updates
            await asyncio.sleep(0)
        after = page[-1].position if page else until
