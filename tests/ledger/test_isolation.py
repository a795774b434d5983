"""Changes read what was committed before each statement, whatever the default of the role is."""

import pytest
from sqlalchemy import text

from tests.support.database_connections import connected
from tests.support.deployment import Deployment, open_deployment

DEFAULT = "ALTER ROLE teamaccess IN DATABASE {} SET default_transaction_isolation = '{}'"


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
async def test_a_default_of_the_role_does_not_make_readings_old(
    isolated: Deployment, level: str
) -> None:
    async with connected(isolated.settings.database_url) as thief:
        database = await thief.fetchval("SELECT current_database()")
        await thief.execute(DEFAULT.format(database, level))
    async with (
        open_deployment(isolated.settings, isolated.owner_url) as later,
        later.service.sessions() as session,
    ):
        shown = await session.scalar(text("SHOW transaction_isolation"))
    assert shown == "read committed"
