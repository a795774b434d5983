"""An organization that a missing schema stopped recovers by itself when the schema arrives."""

import asyncpg
import pytest

from teamaccess.catalog import Catalog
from teamaccess.directory.schemas.apply import apply_schema
from tests.changes.test_refusals import FORGED
from tests.support.deployment import OPERATOR, Deployment
from tests.support.organization import Organization
from tests.support.spicedb_proxy import running_worker, wait_until


async def stopped_by_cashier(isolated: Deployment) -> Organization:
    """An organization with an entry of a process whose catalog has one more role."""
    acme = await isolated.create_organization("acme")
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    connection = await asyncpg.connect(isolated.settings.database_url)
    entry = f"TOUCH organization:{acme.id}#cashier@user:{bob.id}"
    await connection.execute(FORGED, acme.id, entry)
    await connection.close()
    async with running_worker(isolated):
        await acme.wait_until_stopped()
    return acme


async def nothing_stopped(deployment: Deployment) -> bool:
    """Whether no organization is stopped, and nothing is pending."""
    ready = await (await deployment.operator_person()).ask("GET", "/readyz")
    found = ready.json()
    return not found["stopped_organizations"] and not found["pending_changes"]


@pytest.mark.parametrize("by", ["schema apply", "another process"])
async def test_it_recovers_when_the_schema_arrives(
    isolated: Deployment, catalog_with_cashier: Catalog, by: str
) -> None:
    await stopped_by_cashier(isolated)
    service = isolated.service
    async with running_worker(isolated):
        if by == "schema apply":
            await apply_schema(service.ledger, service.engine, catalog_with_cashier, OPERATOR)
        else:
            await service.engine.write_schema(catalog_with_cashier.schema())
        await wait_until(lambda: nothing_stopped(isolated))


async def test_it_stays_stopped_while_the_schema_has_no_place_for_the_entry(
    isolated: Deployment,
) -> None:
    acme = await stopped_by_cashier(isolated)
    service = isolated.service
    async with running_worker(isolated):
        await apply_schema(service.ledger, service.engine, service.catalog, OPERATOR)
        await acme.wait_until_stopped()


async def test_applying_the_schema_again_lets_the_organization_recover(
    isolated: Deployment, catalog_with_cashier: Catalog
) -> None:
    """The schema arrived while no worker ran, so the last `schema apply` finds no difference."""
    await stopped_by_cashier(isolated)
    service = isolated.service
    await service.engine.write_schema(catalog_with_cashier.schema())
    for _ in range(2):
        await apply_schema(service.ledger, service.engine, catalog_with_cashier, OPERATOR)
    async with running_worker(isolated):
        await wait_until(lambda: nothing_stopped(isolated))
