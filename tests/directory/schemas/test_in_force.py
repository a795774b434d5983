"""Which schema was in force at a time."""

from datetime import datetime, timedelta

from teamaccess.catalog import Catalog
from teamaccess.directory.schemas.in_force import InForce, schema_in_force
from tests.directory.schemas.test_apply import apply, kept
from tests.support.world import World

MOMENT = timedelta(microseconds=1)


async def at(world: World, moment: datetime) -> InForce | None:
    """What was in force."""
    async with world.service.reads() as session:
        return await schema_in_force(session, moment)


async def test_a_schema_is_in_force_until_the_next_one(apart: World, grown: Catalog) -> None:
    await apply(apart, grown)
    first, second = [row.applied_at for row in await kept(apart)]

    assert await at(apart, first - MOMENT) is None
    old = apart.service.catalog
    for moment, catalog, since in (
        (first, old, first),
        (second - MOMENT, old, first),
        (second, grown, second),
        (second + timedelta(days=1), grown, second),
    ):
        found = await at(apart, moment)
        assert found is not None
        assert (found.applied_at, found.schema) == (since, catalog.schema())
        assert found.catalog.version == catalog.version
        assert found.catalog.schema() == catalog.schema()
