"""The relationships of an organization at a ledger position, replayed from its ledger alone."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Row, text

from teamaccess.audit.state.moment import Basis
from teamaccess.common.sharing.loop_share import give_way
from teamaccess.ledger import Sessions
from teamaccess.relationships import EXPIRATION_PREFIX, Relationship, user
from teamaccess.relationships.relationship import WAS, is_update, parse_instant, parse_update
from teamaccess.storage import ApplicationStatus, OrganizationId, UserId

SMALLEST_PAGE, LARGEST_PAGE = 20, 500
"""Entries in one page. An entry has up to 1,000 updates, and most have one."""
UPDATES_PER_PAGE = 5000
"""The number of updates that a page aims at. Other tasks run between pages."""
PAGE = """
SELECT position, decided_at, selected.updates, status
FROM ledger JOIN ledger_applications USING (organization_id, position)
CROSS JOIN LATERAL (SELECT {} AS updates) AS selected
WHERE organization_id = :organization AND position > :after AND position <= :until
  AND cardinality(selected.updates) > 0
ORDER BY position LIMIT :entries
"""
PAGE_OF_ALL_USERS = text(PAGE.format("ledger.updates"))
PAGE_OF_ONE_USER = text(
    PAGE.format("""ARRAY(
      SELECT item FROM unnest(ledger.updates) WITH ORDINALITY AS each (item, nth)
      WHERE strpos(item, '@user:') = 0 OR strpos(item, :about) > 0 ORDER BY nth
    )""")
)
"""Leaves out the updates about other users, except users whose ids begin with this user's id."""
ADDING = {Basis.DECIDED: ("TOUCH",), Basis.ENFORCED: ("TOUCH", "RESTORE")}
REMOVING = {Basis.DECIDED: ("DELETE",), Basis.ENFORCED: ("DELETE", "PURGE")}
"""A repair (RESTORE, PURGE) brings SpiceDB back to what was decided. It decides nothing itself."""
REFUSED = (ApplicationStatus.REFUSED, ApplicationStatus.SKIPPED)
"""Entries that SpiceDB did not accept."""
Permits = Callable[[Relationship], bool]
"""Returns whether a schema allows a relationship."""


class Fact(NamedTuple):
    """A relationship as the ledger records it: it exists now, or it existed once."""

    identity: str
    """Its text without the expiration."""
    expiration: str
    """The expiration as the text has it; empty without one."""
    began: int
    """The position since which it has existed."""
    position: int
    """The position of its latest update: the one that gave its current expiration, or that ended it."""

    @property
    def text(self) -> str:
        """The relationship as the ledger spells it."""
        return self.identity + self.expiration

    @property
    def expires_at(self) -> datetime | None:
        """When it ends by itself."""
        return (
            parse_instant(self.expiration[len(EXPIRATION_PREFIX) : -1]) if self.expiration else None
        )


class Facts(NamedTuple):
    """The relationships that a ledger records up to a position, by identity."""

    current: dict[str, Fact]
    """An expired relationship stays here until an entry ends it, soon afterwards."""
    ended: dict[str, Fact]
    """Relationships that existed once, with the position that ended them."""

    def apply(
        self, update: str, position: int, decided_at: datetime, basis: Basis = Basis.DECIDED
    ) -> None:
        """Apply one update, as the ledger spells it."""
        operation, _, rest = update.partition(" ")
        if operation in ADDING[basis]:
            identity, expiration = _split(rest.partition(WAS)[0])
            began = _began(self.current.get(identity), position, decided_at)
            self.current[identity] = Fact(identity, expiration, began, position)
            self.ended.pop(identity, None)
        elif operation in REMOVING[basis]:
            identity, expiration = _split(rest)
            previous = self.current.pop(identity, None)
            began = position if previous is None else previous.began
            self.ended[identity] = Fact(identity, expiration, began, position)


async def facts_at(
    reads: Sessions,
    organization: OrganizationId,
    position: int,
    basis: Basis = Basis.DECIDED,
    permits: Permits | None = None,
    about: UserId | None = None,
) -> Facts:
    """Return the relationships after the entry at this position, replayed from the first entry.

    Only the ledger is read, because its chain can be verified. The rows are not. With the basis
    `enforced`, skipped entries do not count and repairs do.

    SECURITY: updates that are not relationships are left out. An operator can only skip such an entry,
    which stays in the chain, so it must not stop readers.

    `permits` is for facts that fill a sandbox. It leaves out refused relationships that the schema does
    not allow, because the sandbox would refuse them too. `about` leaves out updates about other users.
    """
    return await advance(reads, organization, Facts({}, {}), 0, position, basis, permits, about)


async def advance(
    reads: Sessions,
    organization: OrganizationId,
    facts: Facts,
    after: int,
    until: int,
    basis: Basis = Basis.DECIDED,
    permits: Permits | None = None,
    about: UserId | None = None,
) -> Facts:
    """Apply the entries after one position up to another to `facts`, and return them."""
    async for page in _pages(reads, organization, after, until, about):
        for position, decided_at, updates, status in page:
            if basis is Basis.ENFORCED and status == ApplicationStatus.SKIPPED:
                continue
            for update in filter(is_update, updates):
                if permits is None or status not in REFUSED or _is_permitted(update, permits):
                    facts.apply(update, position, decided_at, basis)
            await give_way()
        await asyncio.sleep(0)
    return facts


def with_updates(
    facts: Facts, updates: Iterable[str], position: int, decided_at: datetime
) -> Facts:
    """Return a copy of the facts to which these updates were applied."""
    facts = Facts(dict(facts.current), dict(facts.ended))
    for update in updates:
        facts.apply(update, position, decided_at)
    return facts


def _began(previous: Fact | None, position: int, decided_at: datetime) -> int:
    """Return since when the relationship exists. An expired one begins again."""
    if previous is None:
        return position
    if previous.expires_at is not None and previous.expires_at <= decided_at:
        return position
    return previous.began


def _is_permitted(update: str, permits: Permits) -> bool:
    return permits(parse_update(update).relationship)


def _split(text: str) -> tuple[str, str]:
    identity, mark, end = text.partition(EXPIRATION_PREFIX)
    return identity, mark + end


async def _pages(
    reads: Sessions, organization: OrganizationId, after: int, until: int, about: UserId | None
) -> AsyncIterator[Sequence[Row[int, datetime, list[str], str]]]:
    entries = SMALLEST_PAGE
    statement, filters = (
        (PAGE_OF_ALL_USERS, {})
        if about is None
        else (PAGE_OF_ONE_USER, {"about": f"@{user(about)}"})
    )
    while after < until:
        range_ = {"organization": organization, "after": after, "until": until, "entries": entries}
        async with reads() as session:
            page = (await session.execute(statement, {**range_, **filters})).all()
        yield page
        after = page[-1].position if page else until
        updates = sum(len(entry.updates) for entry in page)
        per_page = UPDATES_PER_PAGE * len(page) // max(1, updates)
        entries = min(LARGEST_PAGE, max(SMALLEST_PAGE, per_page))
