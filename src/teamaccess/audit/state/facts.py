"""What stands in an organization's graph at a position, and since which position, by its ledger alone."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Row, text

from teamaccess.audit.state.moment import Basis
from teamaccess.ledger import Sessions
from teamaccess.relationships import EXPIRATION_PREFIX, InvalidRelationship, Relationship, user
from teamaccess.relationships.relationship import parse_instant
from teamaccess.relationships.updates import WAS, parse_update
from teamaccess.storage import ApplicationStatus, OrganizationId, UserId

FEW, MANY = 20, 500
"""Entries in one page: each has up to 1,000 updates, and most have one."""
ENOUGH = 5000
"""Updates in one page, about: between pages others have their turn."""
PAGE = """
SELECT position, decided_at, said.updates, status
FROM ledger JOIN ledger_applications USING (organization_id, position)
CROSS JOIN LATERAL (SELECT {} AS updates) AS said
WHERE organization_id = :organization AND position > :after AND position <= :until
  AND cardinality(said.updates) > 0
ORDER BY position LIMIT :entries
"""
EVERYBODYS = text(PAGE.format("ledger.updates"))
ONES = text(
    PAGE.format("""ARRAY(
      SELECT said FROM unnest(ledger.updates) WITH ORDINALITY AS each (said, nth)
      WHERE strpos(said, '@user:') = 0 OR strpos(said, :about) > 0 ORDER BY nth
    )""")
)
"""Without what is said of other users, but those whose id begins with this one's."""
GIVING = {Basis.DECIDED: ("TOUCH",), Basis.ENFORCED: ("TOUCH", "RESTORE")}
TAKING = {Basis.DECIDED: ("DELETE",), Basis.ENFORCED: ("DELETE", "PURGE")}
"""What mends SpiceDB brings it back to what was decided, and is no decision."""
REFUSED = (ApplicationStatus.REFUSED, ApplicationStatus.SKIPPED)
"""What SpiceDB would not take."""
Permits = Callable[[Relationship], bool]
"""Whether a schema has a place for a relationship."""


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
        return (
            parse_instant(self.expiration[len(EXPIRATION_PREFIX) : -1]) if self.expiration else None
        )


class Facts(NamedTuple):
    """What a ledger says at a position, by identity."""

    standing: dict[str, Fact]
    """What has expired is still among it: an entry ends it, soon after."""
    lost: dict[str, Fact]
    """What stood once and does not any more, with the position that ended it."""

    def take(
        self, update: str, position: int, decided_at: datetime, basis: Basis = Basis.DECIDED
    ) -> None:
        """Bring the state forward by one update, as the ledger spells it."""
        operation, _, rest = update.partition(" ")
        if operation in GIVING[basis]:
            identity, expiration = _split(rest.partition(WAS)[0])
            began = _began(self.standing.get(identity), position, decided_at)
            self.standing[identity] = Fact(identity, expiration, began, position)
            self.lost.pop(identity, None)
        elif operation in TAKING[basis]:
            identity, expiration = _split(rest)
            known = self.standing.pop(identity, None)
            began = position if known is None else known.began
            self.lost[identity] = Fact(identity, expiration, began, position)


async def facts_at(
    reads: Sessions,
    organization: OrganizationId,
    position: int,
    basis: Basis = Basis.DECIDED,
    permits: Permits | None = None,
    about: UserId | None = None,
) -> Facts:
    """Return what stands after the entry at this position, replayed from the first one.

    Nothing is believed of the rows, only of the ledger, whose chain can be verified. Where what counts
    is what SpiceDB had, an entry that was given up counts for nothing, and what mended SpiceDB does.
    Where the facts are for a sandbox, which is to take what SpiceDB took, `permits` leaves out what
    stopped an organization because the schema has no place for it. For who asks `about` one user, what
    is said of others is not read.
    """
    return await forward(reads, organization, Facts({}, {}), 0, position, basis, permits, about)


async def forward(
    reads: Sessions,
    organization: OrganizationId,
    facts: Facts,
    after: int,
    until: int,
    basis: Basis = Basis.DECIDED,
    permits: Permits | None = None,
    about: UserId | None = None,
) -> Facts:
    """Return what stood after one entry, brought forward to a later one; the facts are changed."""
    async for page in _pages(reads, organization, after, until, about):
        for at, decided_at, updates, status in page:
            if basis is Basis.ENFORCED and status == ApplicationStatus.SKIPPED:
                continue
            for update in updates:
                if permits is None or status not in REFUSED or _has_place(update, permits):
                    facts.take(update, at, decided_at, basis)
        await asyncio.sleep(0)
    return facts


def changed(facts: Facts, updates: Iterable[str], position: int, decided_at: datetime) -> Facts:
    """Return what would stand if these were decided next; the facts are left as they are."""
    facts = Facts(dict(facts.standing), dict(facts.lost))
    for update in updates:
        facts.take(update, position, decided_at)
    return facts


def _began(known: Fact | None, position: int, decided_at: datetime) -> int:
    """Return since when it stands: anew, if it was not there or had come to its end."""
    if known is None or (known.until is not None and known.until <= decided_at):
        return position
    return known.began


def _has_place(update: str, permits: Permits) -> bool:
    try:
        return permits(parse_update(update).relationship)
    except InvalidRelationship:
        return False


def _split(text: str) -> tuple[str, str]:
    identity, mark, end = text.partition(EXPIRATION_PREFIX)
    return identity, mark + end


async def _pages(
    reads: Sessions, organization: OrganizationId, after: int, until: int, about: UserId | None
) -> AsyncIterator[Sequence[Row[int, datetime, list[str], str]]]:
    entries = FEW
    statement, of_whom = (EVERYBODYS, {}) if about is None else (ONES, {"about": f"@{user(about)}"})
    while after < until:
        names = {"organization": organization, "after": after, "until": until, "entries": entries}
        async with reads() as session:
            page = (await session.execute(statement, {**names, **of_whom})).all()
        yield page
        after = page[-1].position if page else until
        updates = sum(len(entry.updates) for entry in page)
        entries = min(MANY, max(FEW, ENOUGH * len(page) // max(1, updates)))
