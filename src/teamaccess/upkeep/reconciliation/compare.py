"""Compare one organization's rows with what SpiceDB holds, in bounded memory."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import datetime
from math import ceil

from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.catalog import Catalog
from teamaccess.delivery.position import LedgerPosition
from teamaccess.delivery.progress import LedgerProgress
from teamaccess.delivery.writer import APPLIED, HEAD, head_marker
from teamaccess.engine import Engine
from teamaccess.ledger import OtherHistory, database_time
from teamaccess.relationships import EXPIRATION_PREFIX, Relationship
from teamaccess.storage import RelationshipSource
from teamaccess.upkeep.reconciliation.comparison import Comparison, ExpiryDifference
from teamaccess.upkeep.reconciliation.rows import count, expected_relationships
from teamaccess.upkeep.reconciliation.tenants import ORGANIZATION, objects_of

AT_ONCE = 200_000
"""Relationships in memory. A larger organization is read several times, and compared in parts."""


async def compare(
    session: AsyncSession, engine: Engine, catalog: Catalog, progress: LedgerProgress
) -> Comparison:
    """Return how SpiceDB differs from the rows. The result is correct if neither changed meanwhile.

    Raises OtherHistory if SpiceDB is not at this position of the ledger.
    """
    await LedgerPosition(progress.organization, progress.position, progress.hash, None).prove(
        engine
    )
    comparison = Comparison(progress.organization)
    parts = max(1, ceil(await count(session, progress.organization) / AT_ONCE))
    for part in range(parts):
        await _Part(comparison, part, parts).compare(session, engine, catalog, progress)
    return comparison


class _Part:
    """The relationships whose identity hashes have the same remainder. The parts do not overlap."""

    def __init__(self, comparison: Comparison, part: int, parts: int) -> None:
        self._comparison, self._part, self._parts = comparison, part, parts
        self._expected: dict[str, str] = {}
        """Expiry by identity, empty without one. A relationship that SpiceDB holds is removed from it."""
        self._differing: list[tuple[str, str, str]] = []
        self._unexpected: list[str] = []

    async def compare(
        self, session: AsyncSession, engine: Engine, catalog: Catalog, progress: LedgerProgress
    ) -> None:
        for source in RelationshipSource.tables().values():
            async for page in expected_relationships(session, source, progress.organization):
                for relationship in page:
                    self._expect(str(relationship))
        async for text in _stored(engine, catalog, progress):
            self._match(text)
        # The time is after both reads, so a relationship that expired meanwhile counts on neither side.
        self._classify(await database_time(session), catalog)

    def _expect(self, text: str) -> None:
        identity, _, end = text.partition(EXPIRATION_PREFIX)
        if self._has(identity):
            self._expected[identity] = end

    def _match(self, text: str) -> None:
        identity, _, end = text.partition(EXPIRATION_PREFIX)
        if not self._has(identity):
            return
        self._comparison.compared += 1
        expected = self._expected.get(identity)
        if expected is None:
            self._unexpected.append(text)
        elif expected != end:
            self._differing.append((identity, expected, end))
        else:
            del self._expected[identity]

    def _classify(self, now: datetime, catalog: Catalog) -> None:
        for identity, expected, end in self._differing:
            held = _text(identity, end)
            if not Relationship.parse(held).expired(now):
                expected_end = self._expected.pop(identity, expected)
                relationship = Relationship.parse(_text(identity, expected_end))
                self._comparison.differing.append(ExpiryDifference(relationship, held))
        for identity, end in self._expected.items():
            relationship = Relationship.parse(_text(identity, end))
            if not relationship.expired(now):
                self._comparison.missing.append(relationship)
        for text in self._unexpected:
            self._comparison.add_unmatched(text, catalog, now)

    def _has(self, identity: str) -> bool:
        return self._parts == 1 or hash(identity) % self._parts == self._part


async def _stored(engine: Engine, catalog: Catalog, progress: LedgerProgress) -> AsyncIterator[str]:
    """Yield what SpiceDB holds for the organization, without the markers and the head of its ledger.

    A second head is yielded. Raises OtherHistory if there are markers and the ledger is empty.
    """
    newest = str(head_marker(progress.organization, progress.position, progress.hash))
    for objects in objects_of(progress.organization, catalog):
        async with aclosing(engine.export(objects)) as pages:
            async for page in pages:
                for each in page:
                    if objects.type != ORGANIZATION or each.relation not in (APPLIED, HEAD):
                        yield each.text
                    elif progress.position == 0:
                        raise OtherHistory(organization=progress.organization)
                    elif each.relation == HEAD and each.text != newest:
                        yield each.text


def _text(identity: str, end: str) -> str:
    return f"{identity}{EXPIRATION_PREFIX}{end}" if end else identity
