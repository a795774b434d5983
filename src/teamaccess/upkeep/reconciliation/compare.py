"""Compare one organization's rows with what SpiceDB holds, in bounded memory."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import datetime
from math import ceil

from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.catalog import Catalog
from teamaccess.delivery.position import LedgerPosition
from teamaccess.delivery.progress import LedgerProgress
from teamaccess.engine import Engine
from teamaccess.ledger import OtherHistory, database_time
from teamaccess.ledger.entry import APPLIED, HEAD, head_marker
from teamaccess.relationships import EXPIRATION_PREFIX, Relationship
from teamaccess.storage import RelationshipSource
from teamaccess.upkeep.reconciliation.comparison import Comparison, Differing
from teamaccess.upkeep.reconciliation.rows import count, meant
from teamaccess.upkeep.reconciliation.tenants import ORGANIZATION, objects_of

AT_ONCE = 200_000
"""Relationships in memory; a larger organization is gone through several times, a part each time."""


async def compare(
    session: AsyncSession, engine: Engine, catalog: Catalog, place: LedgerProgress
) -> Comparison:
    """Return how SpiceDB differs from the rows, as long as neither changes meanwhile.

    Raises OtherHistory where SpiceDB is not at this place of the ledger.
    """
    await LedgerPosition(place.organization, place.position, place.hash, None).prove(engine)
    comparison = Comparison(place.organization)
    parts = max(1, ceil(await count(session, place.organization) / AT_ONCE))
    for part in range(parts):
        await _Part(comparison, part, parts).compare(session, engine, catalog, place)
    return comparison


class _Part:
    """Those relationships whose identities have one remainder, so that each is in one part."""

    def __init__(self, comparison: Comparison, part: int, parts: int) -> None:
        self._comparison, self._part, self._parts = comparison, part, parts
        self._meant: dict[str, str] = {}
        """From identity to end, which is empty where there is none; what is found is taken out."""
        self._differing: list[tuple[str, str, str]] = []
        self._unknown: list[str] = []

    async def compare(
        self, session: AsyncSession, engine: Engine, catalog: Catalog, place: LedgerProgress
    ) -> None:
        for source in RelationshipSource.tables().values():
            async for page in meant(session, source, place.organization):
                for relationship in page:
                    self._expect(str(relationship))
        async for text in _held(engine, catalog, place):
            self._meet(text)
        # Judged at an instant after both were read: what ended meanwhile is absent on both sides.
        self._judge(await database_time(session), catalog)

    def _expect(self, text: str) -> None:
        identity, _, end = text.partition(EXPIRATION_PREFIX)
        if self._has(identity):
            self._meant[identity] = end

    def _meet(self, text: str) -> None:
        identity, _, end = text.partition(EXPIRATION_PREFIX)
        if not self._has(identity):
            return
        self._comparison.compared += 1
        expected = self._meant.get(identity)
        if expected is None:
            self._unknown.append(text)
        elif expected != end:
            self._differing.append((identity, expected, end))
        else:
            del self._meant[identity]

    def _judge(self, now: datetime, catalog: Catalog) -> None:
        for identity, expected, end in self._differing:
            held = _text(identity, end)
            if not Relationship.parse(held).expired(now):
                meant = Relationship.parse(_text(identity, self._meant.pop(identity, expected)))
                self._comparison.differing.append(Differing(meant, held))
        for identity, end in self._meant.items():
            relationship = Relationship.parse(_text(identity, end))
            if not relationship.expired(now):
                self._comparison.missing.append(relationship)
        for text in self._unknown:
            self._comparison.found(text, catalog, now)

    def _has(self, identity: str) -> bool:
        return self._parts == 1 or hash(identity) % self._parts == self._part


async def _held(engine: Engine, catalog: Catalog, place: LedgerProgress) -> AsyncIterator[str]:
    """Yield what SpiceDB holds of the organization, the markers of its ledger aside.

    A second head is none of them. Raises OtherHistory for markers where the ledger is empty.
    """
    newest = str(head_marker(place.organization, place.position, place.hash))
    for objects in objects_of(place.organization, catalog):
        async with aclosing(engine.export(objects)) as pages:
            async for page in pages:
                for each in page:
                    if objects.type != ORGANIZATION or each.relation not in (APPLIED, HEAD):
                        yield each.text
                    elif place.position == 0:
                        raise OtherHistory(organization=place.organization)
                    elif each.relation == HEAD and each.text != newest:
                        yield each.text


def _text(identity: str, end: str) -> str:
    return f"{identity}{EXPIRATION_PREFIX}{end}" if end else identity
