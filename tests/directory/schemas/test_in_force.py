"""Which schema was in force at a time."""

from datetime import datetime, timedelta

from teamaccess.catalog import Catalog
from teamaccess.directory.schemas.in_force import AppliedSchema, schema_in_force
from tests.directory.schemas.test_apply import apply, recorded_schemas
from tests.support.deployment import Deployment

MICROSECOND = timedelta(microseconds=1)


async def at(deployment: Deployment, moment: datetime) -> AppliedSchema | None:
    """The schema that was in force at the moment."""
    async with deployment.service.reads() as session:
        return await schema_in_force(session, moment)


async def test_a_schema_is_in_force_until_the_next_one(
    isolated: Deployment, catalog_with_cashier: Catalog
) -> None:
    await apply(isolated, catalog_with_cashier)
    first, second = [row.applied_at for row in await recorded_schemas(isolated)]

    assert await at(isolated, first - MICROSECOND) is None
    old = isolated.service.catalog
    for moment, catalog, since in (
        (first, old, first),
        (second - MICROSECOND, old, first),
        (second, catalog_with_cashier, second),
        (second + timedelta(days=1), catalog_with_cashier, second),
    ):
        found = await at(isolated, moment)
        assert found is not None
        assert (found.applied_at, found.schema) == (since, catalog.schema())
        assert found.catalog.version == catalog.version
        assert found.catalog.schema() == catalog.schema()
