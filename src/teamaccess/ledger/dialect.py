"""asyncpg's dialect, where connections end: what is cut while it is set up is an outage, too, and what
asyncpg has seen end in the pool is not used."""

from collections.abc import Callable
from typing import Any

import asyncpg
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What asyncpg raises itself, where SQLAlchemy does not translate it."""

DRIVER = "postgresql+teamaccess"
"""As URLs of SQLAlchemy's name the dialect."""


class Dialect(PGDialect_asyncpg):
    """asyncpg's, which tells of connections that have ended."""

    supports_statement_cache = True

    def on_connect(self) -> Callable[[Any], None]:
        """Return what sets a connection up; raises ConnectionError for one that is cut meanwhile.

        SQLAlchemy translates what asyncpg raises, except while it teaches a new connection its types:
        whoever waits out an outage would not know these words.
        """
        set_up = super().on_connect()  # type: ignore[no-untyped-call]

        def connect(connection: Any) -> None:
            try:
                set_up(connection)
            except DRIVER_ERRORS as cause:
                raise ConnectionError(f"PostgreSQL went away: {cause}") from cause

        return connect

    def do_ping(self, dbapi_connection: Any) -> bool:
        """Return whether a connection from the pool still is one: asyncpg has seen it end, unasked."""
        return not dbapi_connection.driver_connection.is_closed()


def sqlstate(error: BaseException) -> str | None:
    """Return the SQLSTATE of what went wrong, PostgreSQL's or the driver's; None without one."""
    code: str | None = getattr(getattr(error, "orig", None), "sqlstate", None)
    return code


registry.register(DRIVER.replace("+", "."), __name__, Dialect.__name__)
