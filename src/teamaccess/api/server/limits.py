"""The limits of a connection: bytes, seconds, and how many there may be."""

import resource
from dataclasses import dataclass
from typing import Self

from teamaccess.common.configuration.settings import Settings
from teamaccess.common.errors import Unavailable

HEADER_BYTES = 16 * 1024
"""The largest size of all headers with the first line. Node.js has the same limit, nginx 32 KiB."""
HEADER_COUNT = 100
TARGET_BYTES = 8 * 1024
"""The largest size of path and query together."""
CHUNK_OVERHEAD = 8
"""How many times larger than its content a chunked body may be on the wire. With one byte a chunk, it is
six times as large."""
WAITING_REQUESTS = 4
"""How many requests a client may send before the previous one is answered. Common clients send none."""
SLOWEST_READER = 1024
"""How many bytes of an answer a client must read each second."""

RESERVED_DESCRIPTORS = 128
"""File descriptors that are kept for the process itself: 56 connections to PostgreSQL, channels to
SpiceDB, mails, logs, and connections that are accepted only to be refused."""
FEWEST_CONNECTIONS = 16


class TooFewDescriptors(Unavailable):
    """The process may open too few files to serve even a few connections."""

    message = (
        "This process can open {limit:file} and needs at least {needed}. Raise the limit with "
        "`ulimit -n`, or with LimitNOFILE in systemd."
    )


@dataclass(frozen=True)
class ConnectionLimits:
    """The limits of one server process."""

    connections: int
    connections_per_address: int
    first_byte_seconds: float
    request_seconds: float
    idle_seconds: float
    answer_seconds: float
    body_bytes: int
    unknown_per_second: float
    """How many requests a second one address may send without a recently valid token."""

    @classmethod
    def of(cls, settings: Settings, body_bytes: int) -> Self:
        """Return the limits of the settings, lowered to the descriptors that the process may open.

        Raises TooFewDescriptors.
        """
        connections = min(settings.connections, _most_connections())
        per_address = settings.connections_per_address
        return cls(
            connections=connections,
            connections_per_address=min(per_address or (connections + 1) // 2, connections),
            first_byte_seconds=settings.first_byte_seconds,
            request_seconds=settings.request_seconds,
            idle_seconds=settings.idle_seconds,
            answer_seconds=settings.answer_seconds,
            body_bytes=body_bytes,
            unknown_per_second=settings.unknown_per_second,
        )


def _most_connections() -> int:
    """Return how many connections leave enough descriptors for the process itself.

    SECURITY: otherwise clients' connections could use up all descriptors, and the process could reach
    neither PostgreSQL nor SpiceDB for any caller.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return 1_000_000
    if limit < RESERVED_DESCRIPTORS + FEWEST_CONNECTIONS:
        raise TooFewDescriptors(limit=limit, needed=RESERVED_DESCRIPTORS + FEWEST_CONNECTIONS)
    return limit - RESERVED_DESCRIPTORS
