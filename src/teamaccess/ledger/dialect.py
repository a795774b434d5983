"""SQLAlchemy's dialect for asyncpg, with three differences where connections end.

A connection that is cut during its setup counts as an outage. A pooled connection is not used after
asyncpg has seen it end, nor after it died silently.
"""

import time
from collections.abc import Callable
from typing import Any

import asyncpg
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.util import await_only

from teamaccess.common.postgres import silence
from teamaccess.common.postgres.outages import ends_the_session

DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""Errors that asyncpg raises where SQLAlchemy does not translate them."""

DRIVER = "postgresql+teamaccess"
"""The dialect's name in SQLAlchemy's URLs."""


class Dialect(PGDialect_asyncpg):
    """asyncpg's dialect that recognizes ended connections."""

    supports_statement_cache = True

    def on_connect(self) -> Callable[[Any], None]:
        """Return the function that sets up a connection.

        That function raises ConnectionError if the connection is cut. SQLAlchemy translates asyncpg's
        errors, except during the setup of a connection. Callers that wait out an outage would not
        recognize those.
        """
        set_up = super().on_connect()  # type: ignore[no-untyped-call]

        def connect(connection: Any) -> None:
            try:
                set_up(connection)
            except DRIVER_ERRORS as cause:
                raise ConnectionError(f"PostgreSQL went away: {cause}") from cause

        return connect

    def is_disconnect(self, e: Any, connection: Any, cursor: Any) -> bool:
        """Return whether the connection must not be used again. SQLAlchemy then renews the whole pool."""
        return ends_the_session(e) or bool(super().is_disconnect(e, connection, cursor))  # type: ignore[no-untyped-call]

    def do_ping(self, dbapi_connection: Any) -> bool:
        """Return whether a pooled connection can be used.

        asyncpg knows without a round trip that a connection was closed. A connection that was unused for
        a while is asked, because it may have died silently.
        """
        connection = dbapi_connection.driver_connection
        if connection.is_closed():
            return False
        used_at = silence.last_used.get(connection)
        if used_at is None or time.monotonic() - used_at < silence.UNUSED_SECONDS:
            return True
        return await_only(silence.gives_sign_of_life(connection))

    def do_close(self, dbapi_connection: Any) -> None:
        """Close a connection of the pool. One that died silently does not delay the end of a process."""
        await_only(silence.end(dbapi_connection.driver_connection))


registry.register(DRIVER.replace("+", "."), __name__, Dialect.__name__)
