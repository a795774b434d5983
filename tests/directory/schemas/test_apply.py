"""Which schema SpiceDB was given is kept, once and in order."""

import asyncio
from collections.abc import Sequence

import pytest
from asyncpg import InsufficientPrivilegeError
from sqlalchemy import select

from teamaccess.catalog import Catalog
from teamaccess.directory.roles.ids import RoleIdsTaken
from teamaccess.directory.schemas.apply import SchemaRefused, apply_schema
from teamaccess.relationships import Touch, organization, user
from teamaccess.storage import Event, SchemaVersion
from tests.stories.roles import made
from tests.support.connections import Connection
from tests.support.steps import enlist
from tests.support.world import OPERATOR, World
from tests.upkeep.reconciliation.apart import Ground
from tests.upkeep.reconciliation.test_rebuilding import rebuild


async def apply(world: World, catalog: Catalog | None = None) -> list[str]:
    """What the command does."""
    service = world.service
    return await apply_schema(service.ledger, service.engine, catalog or service.catalog, OPERATOR)


async def kept(world: World) -> Sequence[SchemaVersion]:
    """The rows, the oldest first."""
    async with world.service.reads() as session:
        rows = select(SchemaVersion).order_by(SchemaVersion.applied_at)
        return (await session.scalars(rows)).all()


async def test_a_schema_is_kept_once_and_the_next_one_beside_it(
    apart: World, grown: Catalog
) -> None:
    catalog = apart.service.catalog
    assert await apply(apart) == []
    [first] = await kept(apart)
    assert (first.catalog_version, first.schema) == (catalog.version, catalog.schema())
    assert first.applied_by == OPERATOR.actor

    assert "relation_added" in await apply(apart, grown)
    assert await apply(apart, grown) == []
    versions = [row.catalog_version for row in await kept(apart)]
    assert versions == [catalog.version, grown.version]
    async with apart.service.reads() as session:
        events = select(Event).where(Event.kind == "schema_applied").order_by(Event.position)
        told = [(each.chain, each.subject) for each in await session.scalars(events)]
    assert told == [(Event.PLATFORM, f"schema:{version}") for version in versions]


async def test_an_earlier_schema_that_comes_back_is_kept_again(
    apart: World, grown: Catalog
) -> None:
    await apply(apart, grown)
    await apply(apart)
    versions = [row.catalog_version for row in await kept(apart)]
    old = apart.service.catalog.version
    assert versions == [old, grown.version, old]


async def test_what_spicedb_was_given_before_a_crash_is_kept_by_the_next_run(
    apart: World, grown: Catalog
) -> None:
    await apart.service.engine.write_schema(grown.schema())
    assert await apply(apart, grown) == []
    assert [row.schema for row in await kept(apart)][1:] == [grown.schema()]


async def test_what_is_refused_was_never_in_force(apart: World, grown: Catalog) -> None:
    await made(await apart.create("acme"), "cashier", "transfers_view")
    with pytest.raises(RoleIdsTaken):
        await apply(apart, grown)
    assert len(await kept(apart)) == 1


async def test_what_spicedb_does_not_take_is_told_and_not_kept(
    apart: World, grown: Catalog
) -> None:
    team = await apart.create("acme")
    bob = (await enlist(team, {"bob": ["support"]}))["bob"]
    await apply(apart, grown)
    relationship = organization(team.id).relates("cashier", user(bob.id))
    await apart.service.engine.write([Touch(relationship)])
    with pytest.raises(SchemaRefused, match="cashier"):
        await apply(apart)
    assert [row.catalog_version for row in await kept(apart)][-1] == grown.version


async def test_of_two_at_once_one_keeps_it(apart: World, grown: Catalog) -> None:
    differences = await asyncio.gather(*(apply(apart, grown) for _ in range(4)))
    assert len([each for each in differences if each]) == 1
    assert len(await kept(apart)) == 2


async def test_what_a_new_spicedb_is_given_by_a_rebuild_is_kept_too(ground: Ground) -> None:
    database, (_, spicedb) = await ground.database(), await ground.spicedb()
    async with ground.world(database, spicedb) as world:
        await rebuild(world)
        [row] = await kept(world)
        assert row.catalog_version == world.service.catalog.version
    await ground.stop(spicedb)


FORGED = """
INSERT INTO schema_versions (applied_at, catalog_version, catalog, schema, applied_by)
VALUES ('2020-01-01', '', '{}', '', '')
"""


async def test_nothing_of_it_can_be_altered(
    fintoc: World, application: Connection, owner: Connection
) -> None:
    for statement in (
        "UPDATE schema_versions SET schema = ''",
        "UPDATE schema_versions SET applied_at = '2020-01-01'",
        "DELETE FROM schema_versions",
        "TRUNCATE schema_versions",
    ):
        for connection in (application, owner):
            with pytest.raises(InsufficientPrivilegeError):
                await connection.execute(statement)
    with pytest.raises(InsufficientPrivilegeError):
        await application.execute(FORGED)
