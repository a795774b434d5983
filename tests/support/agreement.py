"""The three sides that must agree: the relationships of the rows, of the ledger, and of SpiceDB."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from authzed.api.v1 import Consistency, ReadRelationshipsRequest, RelationshipFilter
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.engine.convert import relationship_from_message
from teamaccess.relationships import Relationship, parse_update, replay
from teamaccess.storage import (
    LedgerEntry,
    RelationshipSource,
)
from teamaccess.upkeep.rebuild.agreement import find_disagreements
from tests.support.organization import Organization

MARKER, HEAD = "applied", "head"


async def relationships_of_rows(organization: Organization) -> set[Relationship]:
    """The relationships of all rows of the organization."""
    found: list[Relationship] = []
    async with organization.deployment.service.sessions() as session:
        for source in RelationshipSource.tables().values():
            mine = select(source).where(source.__table__.c.organization_id == organization.id)
            for row in await session.scalars(mine):
                found.extend(row.relationships())
    assert len(found) == len({each.identity for each in found}), "two rows, one relationship"
    return set(found)


async def ledger_entries(organization: Organization) -> list[LedgerEntry]:
    """The organization's ledger, in order."""
    async with organization.deployment.service.sessions() as session:
        found = await session.scalars(
            select(LedgerEntry)
            .where(LedgerEntry.organization_id == organization.id)
            .order_by(LedgerEntry.position)
        )
        return list(found)


def replay_entries(ledger: Iterable[LedgerEntry]) -> set[Relationship]:
    """The state after all entries, starting from nothing."""
    return replay(parse_update(text) for entry in ledger for text in entry.updates)


async def spicedb_contents(organization: Organization) -> set[Relationship]:
    """Everything SpiceDB holds of the tenant, the markers of its ledger's positions too."""
    engine: Any = organization.deployment.engine  # its stubs know only the calls that block
    key = organization.deployment.settings.spicedb_preshared_key.get_secret_value()
    filters = (
        RelationshipFilter(resource_type="organization", optional_resource_id=organization.id),
        RelationshipFilter(optional_resource_id_prefix=f"{organization.id}/"),
    )
    return {
        relationship_from_message(answer.relationship)
        for wanted in filters
        async for answer in engine.ReadRelationships(
            ReadRelationshipsRequest(
                consistency=Consistency(fully_consistent=True), relationship_filter=wanted
            ),
            metadata=(("authorization", f"Bearer {key}"),),
        )
    }


async def spicedb_relationships(organization: Organization) -> set[Relationship]:
    """The tenant's relationships in SpiceDB, without markers."""
    return without_markers(await spicedb_contents(organization))


async def applied_positions(organization: Organization) -> dict[int, str]:
    """The positions that SpiceDB has confirmed, each with its hash."""
    return marked_positions(await spicedb_contents(organization))


def without_markers(held: set[Relationship]) -> set[Relationship]:
    """The relationships that are not markers."""
    return {each for each in held if each.relation not in (MARKER, HEAD)}


def head_position(held: set[Relationship]) -> dict[int, str]:
    """The position of the head in SpiceDB with its hash. There is at most one."""
    subjects = [each.subject.object.id for each in held if each.relation == HEAD]
    return {int(id.partition("-")[0]): id.partition("-")[2] for id in subjects}


def marked_positions(held: set[Relationship]) -> dict[int, str]:
    """The positions that the markers among these name, with their hashes."""
    subjects = [each.subject.object.id for each in held if each.relation == MARKER]
    return {int(id.partition("-")[0]): id.partition("-")[2] for id in subjects}


async def assert_agreement(organization: Organization) -> set[str]:
    """Assert that the three sides are the same set at one instant, and return it as text."""
    now = await organization.deployment.service.now()
    meant, replayed = (
        unexpired(await relationships_of_rows(organization), now),
        unexpired(replay_entries(await ledger_entries(organization)), now),
    )
    held = unexpired(await spicedb_relationships(organization), now)
    assert meant == replayed == held
    async with organization.deployment.service.sessions() as session:
        assert not await find_disagreements(
            session, organization.deployment.service.catalog, organization.id
        )
    return {str(each) for each in held}


def unexpired(relationships: Iterable[Relationship], now: datetime) -> set[Relationship]:
    """Those that have not ended; SpiceDB shows no others."""
    return {each for each in relationships if not each.expired(now)}


@asynccontextmanager
async def operator_session(
    organization: Organization, *others: Organization
) -> AsyncIterator[AsyncSession]:
    """The session of an operator's change, committed and enforced at the end."""
    async with organization.deployment.operator(
        organization.id, *(other.id for other in others)
    ) as change:
        yield change.session
