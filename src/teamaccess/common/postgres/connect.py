"""Connect to PostgreSQL with the arguments that `address.sqlalchemy_url` describes."""

import ssl
from contextlib import suppress
from typing import Any

import asyncpg
from asyncpg.exceptions import CannotConnectNowError, TargetServerAttributeNotMatched

from teamaccess.common.postgres.silence import limit_silence

DEFAULT_SECONDS = 60.0
"""How long one connection may take if the address has no `connect_timeout`: asyncpg's own default."""
NEXT_HOST = (OSError, TimeoutError, CannotConnectNowError, TargetServerAttributeNotMatched)
"""Errors after which the next host is tried. A refused password ends the search, as in libpq."""


class PostgresUnreachable(ConnectionError):
    """No connection could be made. The message is the driver's, which contains no password."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(str(cause) or type(cause).__name__)
        self.sqlstate: str | None = getattr(cause, "sqlstate", None)


def sqlstate(error: BaseException) -> str | None:
    """Return the SQLSTATE of a database error, None for an error without one."""
    code: str | None = getattr(getattr(error, "orig", error), "sqlstate", None)
    return code


def violated_constraint(error: BaseException) -> str | None:
    """Return the name of the constraint or unique index that a statement violated, None if none."""
    cause = getattr(error, "orig", error)
    for each in (cause, cause.__cause__):  # SQLAlchemy wraps the driver's error
        name: str | None = getattr(each, "constraint_name", None)
        if name is not None:
            return name
    return None


async def connect(**arguments: Any) -> Any:
    """Return a connection, as `_connect` does. Raises PostgresUnreachable.

    An outage has this class of its own. So an OSError from elsewhere, such as a missing file, does not
    count as one.
    """
    try:
        connection = await _connect(**arguments)
        limit_silence(connection)
        return connection
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as cause:
        raise PostgresUnreachable(cause) from cause


async def _connect(
    *, timeout: str | float = DEFAULT_SECONDS, ssl: Any = None, **arguments: Any
) -> Any:
    """Return a connection to the first host that answers and fits `target_session_attrs`.

    `timeout` is in seconds and for each host. Zero or less means no limit. The driver's own search has
    one timeout for all hosts, so a host that does not answer would hide the others.
    """
    seconds = float(timeout)
    more = {"timeout": seconds if seconds > 0 else None, "ssl": _tls(ssl), **arguments}
    hosts = arguments.get("host")
    if not isinstance(hosts, list | tuple):
        return await asyncpg.connect(**more)
    if _prefers_standby(arguments):
        with suppress(*NEXT_HOST):
            return await _first(more | {"target_session_attrs": "standby"})
        more |= {"target_session_attrs": "any"}
    return await _first(more)


async def _first(arguments: dict[str, Any]) -> Any:
    places = list(zip(arguments["host"], arguments["port"], strict=True))
    for host, port in places[:-1]:
        with suppress(*NEXT_HOST):
            return await asyncpg.connect(**arguments | {"host": host, "port": port})
    host, port = places[-1]
    return await asyncpg.connect(**arguments | {"host": host, "port": port})


def _tls(mode: Any) -> Any:
    """Return the argument `ssl` of the driver. `system` trusts the authorities of this machine."""
    return ssl.create_default_context() if mode == "system" else mode


def _prefers_standby(arguments: dict[str, Any]) -> bool:
    return "target_session_attrs=prefer-standby" in str(arguments.get("dsn", ""))
