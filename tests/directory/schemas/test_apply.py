"""Each schema that SpiceDB was given is recorded, once and in order."""

import asyncio
from collections.abc import Sequence

import pytest
from asyncpg import InsufficientPrivilegeError
from sqlalchemy import select

from teamaccess.catalog import Catalog
from teamaccess.directory.roles.ids import RoleIdsTaken
from teamaccess.directory.schemas.apply import SchemaRefused, apply_schema
from teamaccess.relationships import Touch, user
from teamaccess.relationships import organization as organization_object
from teamaccess.storage import Event, SchemaVersion
from tests.stories.custom_roles import create_role
from tests.support.database_connections import Connection
from tests.support.deployment import OPERATOR, Deployment
from tests.support.isolated_deployments import IsolatedDeployments
from tests.upkeep.reconciliation.test_rebuilding import rebuild


async def apply(deployment: Deployment, catalog: Catalog | None = None) -> list[str]:
    """Apply the schema, as `teamaccess schema apply` does."""
    service = deployment.service
    return await apply_schema(service.ledger, service.engine, catalog or service.catalog, OPERATOR)


async def recorded_schemas(deployment: Deployment) -> Sequence[SchemaVersion]:
    """The rows, the oldest first."""
    async with deployment.service.reads() as session:
        rows = select(SchemaVersion).order_by(SchemaVersion.applied_at)
        return (await session.scalars(rows)).all()


async def test_each_applied_schema_is_recorded_once(
    isolated: Deployment, catalog_with_cashier: Catalog
) -> None:
    catalog = isolated.service.catalog
    assert await apply(isolated) == []
    [first] = await recorded_schemas(isolated)
    assert (first.catalog_version, first.schema) == (catalog.version, catalog.schema())
    assert first.applied_by == OPERATOR.actor

    assert "relation_added" in await apply(isolated, catalog_with_cashier)
    assert await apply(isolated, catalog_with_cashier) == []
    versions = [row.catalog_version for row in await recorded_schemas(isolated)]
    assert versions == [catalog.version, catalog_with_cashier.version]
    async with isolated.service.reads() as session:
        events = select(Event).where(Event.kind == "schema_applied").order_by(Event.position)
        reported = [(each.chain, each.subject) for each in await session.scalars(events)]
    assert reported == [(Event.PLATFORM, f"schema:{version}") for version in versions]


async def test_an_earlier_schema_that_is_applied_again_is_recorded_again(
    isolated: Deployment, catalog_with_cashier: Catalog
) -> None:
    await apply(isolated, catalog_with_cashier)
    await apply(isolated)
    versions = [row.catalog_version for row in await recorded_schemas(isolated)]
    old = isolated.service.catalog.version
    assert versions == [old, catalog_with_cashier.version, old]


async def test_a_schema_applied_before_a_crash_is_recorded_by_the_next_run(
    isolated: Deployment, catalog_with_cashier: Catalog
) -> None:
    await isolated.service.engine.write_schema(catalog_with_cashier.schema())
    assert await apply(isolated, catalog_with_cashier) == []
    assert [row.schema for row in await recorded_schemas(isolated)][1:] == [
        catalog_with_cashier.schema()
    ]


async def test_a_refused_schema_was_never_in_force(
    isolated: Deployment, catalog_with_cashier: Catalog
) -> None:
    await create_role(await isolated.create_organization("acme"), "cashier", "transfers_view")
    with pytest.raises(RoleIdsTaken):
        await apply(isolated, catalog_with_cashier)
    assert len(await recorded_schemas(isolated)) == 1


async def test_a_schema_that_spicedb_refuses_is_reported_and_not_recorded(
    isolated: Deployment, catalog_with_cashier: Catalog
) -> None:
    organization = await isolated.create_organization("acme")
    bob = (await organization.add_members({"bob": ["support"]}))["bob"]
    await apply(isolated, catalog_with_cashier)
    relationship = organization_object(organization.id).relates("cashier", user(bob.id))
    await isolated.service.engine.write([Touch(relationship)])
    with pytest.raises(SchemaRefused, match="cashier"):
        await apply(isolated)
    assert [row.catalog_version for row in await recorded_schemas(isolated)][
        -1
    ] == catalog_with_cashier.version


async def test_of_two_concurrent_runs_one_records_the_schema(
    isolated: Deployment, catalog_with_cashier: Catalog
) -> None:
    differences = await asyncio.gather(*(apply(isolated, catalog_with_cashier) for _ in range(4)))
    assert len([each for each in differences if each]) == 1
    assert len(await recorded_schemas(isolated)) == 2


async def test_a_schema_applied_by_a_rebuild_is_recorded_too(
    isolated_deployments: IsolatedDeployments,
) -> None:
    database, (_, spicedb) = (
        await isolated_deployments.database(),
        await isolated_deployments.spicedb(),
    )
    async with isolated_deployments.deployment(database, spicedb) as deployment:
        await rebuild(deployment)
        [row] = await recorded_schemas(deployment)
        assert row.catalog_version == deployment.service.catalog.version
    await isolated_deployments.stop(spicedb)


FORGED = """
INSERT INTO schema_versions (applied_at, catalog_version, catalog, schema, applied_by)
VALUES ('2020-01-01', '', '{}', '', '')
"""


async def test_recorded_schemas_cannot_be_altered(
    fintoc: Deployment, application_connection: Connection, owner_connection: Connection
) -> None:
    for statement in (
        "UPDATE schema_versions SET schema = ''",
        "UPDATE schema_versions SET applied_at = '2020-01-01'",
        "DELETE FROM schema_versions",
        "TRUNCATE schema_versions",
    ):
        for connection in (application_connection, owner_connection):
            with pytest.raises(InsufficientPrivilegeError):
                await connection.execute(statement)
    with pytest.raises(InsufficientPrivilegeError):
        await application_connection.execute(FORGED)
