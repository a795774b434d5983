"""A connection that PostgreSQL ends before SQLAlchemy has set it up."""

from typing import Any

import pytest

from teamaccess.ledger import database
from tests.world import World


async def test_what_is_cut_while_it_is_set_up_is_an_outage_and_no_mistake_of_ours(
    fintoc: World,
) -> None:
    engine = database(fintoc.settings.sqlalchemy_url)
    dialect: Any = engine.dialect
    async with engine.connect() as connection:
        new: Any = (await connection.get_raw_connection()).dbapi_connection
        new.driver_connection.terminate()
        with pytest.raises(ConnectionError, match="connection is closed"):
            # as the pool does with each new one
            await connection.run_sync(lambda _: dialect.on_connect()(new))
        await connection.invalidate()
    await engine.dispose()
