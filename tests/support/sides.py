"""The three sides that must agree: what the rows mean, what the ledger tells, what SpiceDB holds."""

import secrets
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
    Membership,
    RelationshipSource,
    RoleAssignment,
    RoleId,
    User,
    UserId,
    new_user_id,
)
from teamaccess.upkeep.rebuild.agreement import find_disagreements
from tests.support.world import Team

MARKER, HEAD = "applied", "head"


async def rows(team: Team) -> set[Relationship]:
    """What all rows of the organization stand for."""
    found: list[Relationship] = []
    async with team.world.service.sessions() as session:
        for source in RelationshipSource.tables().values():
            mine = select(source).where(source.__table__.c.organization_id == team.id)
            for row in await session.scalars(mine):
                found.extend(row.relationships())
    assert len(found) == len({each.identity for each in found}), "two rows, one relationship"
    return set(found)


async def entries(team: Team) -> list[LedgerEntry]:
    """The organization's ledger, in order."""
    async with team.world.service.sessions() as session:
        found = await session.scalars(
            select(LedgerEntry)
            .where(LedgerEntry.organization_id == team.id)
            .order_by(LedgerEntry.position)
        )
        return list(found)


def told(ledger: Iterable[LedgerEntry]) -> set[Relationship]:
    """The state that a ledger leads to, from nothing."""
    return replay(parse_update(text) for entry in ledger for text in entry.updates)


async def holdings(team: Team) -> set[Relationship]:
    """Everything SpiceDB holds of the tenant, the markers of its ledger's positions too."""
    engine: Any = team.world.engine  # its stubs know only the calls that block
    key = team.world.settings.spicedb_preshared_key.get_secret_value()
    filters = (
        RelationshipFilter(resource_type="organization", optional_resource_id=team.id),
        RelationshipFilter(optional_resource_id_prefix=f"{team.id}/"),
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


async def graph(team: Team) -> set[Relationship]:
    """What SpiceDB holds of the tenant, markers aside."""
    return markers_aside(await holdings(team))


async def markers(team: Team) -> dict[int, str]:
    """Which positions SpiceDB says it has, with the hash of each."""
    return marked(await holdings(team))


def markers_aside(held: set[Relationship]) -> set[Relationship]:
    """What is no marker."""
    return {each for each in held if each.relation not in (MARKER, HEAD)}


def newest(held: set[Relationship]) -> dict[int, str]:
    """The position that SpiceDB calls the newest one, with its hash; never more than one."""
    subjects = [each.subject.object.id for each in held if each.relation == HEAD]
    return {int(id.partition("-")[0]): id.partition("-")[2] for id in subjects}


def marked(held: set[Relationship]) -> dict[int, str]:
    """The positions that the markers among these name, with their hashes."""
    subjects = [each.subject.object.id for each in held if each.relation == MARKER]
    return {int(id.partition("-")[0]): id.partition("-")[2] for id in subjects}


async def agreed(team: Team) -> set[str]:
    """Assert that the three sides are the same set at one instant, and return it as text."""
    now = await team.world.service.now()
    meant, said = living(await rows(team), now), living(told(await entries(team)), now)
    held = living(await graph(team), now)
    assert meant == said == held
    async with team.world.service.sessions() as session:
        assert not await find_disagreements(session, team.world.service.catalog, team.id)
    return {str(each) for each in held}


def living(relationships: Iterable[Relationship], now: datetime) -> set[Relationship]:
    """Those that have not ended; SpiceDB shows no others."""
    return {each for each in relationships if not each.expired(now)}


@asynccontextmanager
async def changing(team: Team, *others: Team) -> AsyncIterator[AsyncSession]:
    """The session of a change, committed and enforced at the end."""
    async with team.world.operator(team.id, *(other.id for other in others)) as change:
        yield change.session


async def seat(team: Team, **seats: Iterable[str]) -> list[UserId]:
    """Make members with roles, by their rows alone; return their ids."""
    made = []
    async with changing(team) as session:
        for name, roles in seats.items():
            user = User(id=new_user_id(), email=f"{name}-{secrets.token_hex(6)}@seats.example")
            held = [RoleAssignment(role=RoleId(role)) for role in roles]
            session.add(Membership(organization_id=team.id, user=user, assignments=held))
            made.append(user.id)
    return made
