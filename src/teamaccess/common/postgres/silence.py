"""Notice connections that died silently: a firewall dropped them, or the other machine lost its power.

Nothing arrives on such a connection any more, not even the news that it ended. Without the limits of this
module, a query would wait for a quarter of an hour until the kernel gives the connection up.
"""

import asyncio
import socket
import time
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

UNUSED_SECONDS = 1.0
"""Before a connection that was unused for longer is used again, PostgreSQL must answer on it."""
ANSWER_SECONDS = 1.0
"""How long that answer may take. After that, the connection is replaced."""

SOCKET_OPTIONS = {
    "TCP_KEEPIDLE": 5,
    "TCP_KEEPINTVL": 2,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 10_000,
}
"""Options of our end. It is closed after about eleven silent seconds, even while a query waits for its
answer. The last one is in milliseconds. An option that the operating system lacks is not set."""
SERVER_SETTINGS = {
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "30s",
}
"""PostgreSQL's settings for its own end. It frees the locks of a process whose machine is gone."""

last_used: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
"""When a pool got each of its connections back, by the monotonic clock."""


def limit_silence(connection: Any) -> None:
    """Set the options of a new connection's socket. A unix socket needs none."""
    endpoint = connection._transport.get_extra_info("socket")  # asyncpg offers no other way
    if endpoint is None or endpoint.family not in (socket.AF_INET, socket.AF_INET6):
        return
    endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in SOCKET_OPTIONS.items():
        if (option := getattr(socket, name, None)) is not None:
            endpoint.setsockopt(socket.IPPROTO_TCP, option, value)


def note_use(dbapi_connection: Any, _record: Any) -> None:
    """Note that a connection was used until now. SQLAlchemy calls this when a pool gets it back."""
    if dbapi_connection is not None:  # None for a connection that was given up
        last_used[dbapi_connection.driver_connection] = time.monotonic()


async def gives_sign_of_life(connection: Any) -> bool:
    """Return whether PostgreSQL answers on the connection. If not, the connection is ended at once."""
    with suppress(Exception):
        async with asyncio.timeout(ANSWER_SECONDS):
            await connection.execute("SELECT 1")
        return True
    connection.terminate()  # a polite end would wait for an answer too
    return False


async def end(connection: Any) -> None:
    """Close a connection politely, or at once if PostgreSQL does not answer in time."""
    with suppress(Exception):
        await connection.close(timeout=ANSWER_SECONDS)
