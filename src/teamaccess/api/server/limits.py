"""What a connection may take: bytes, seconds, and a place among the others."""

import resource
from dataclasses import dataclass
from typing import Self

from teamaccess.common.errors import Unavailable
from teamaccess.common.settings import Settings

HEADER_BYTES = 16 * 1024
"""All of a request's headers with its first line. Node.js has the same limit, nginx 32 KiB."""
HEADER_COUNT = 100
TARGET_BYTES = 8 * 1024
"""The path with the query."""
CHUNK_OVERHEAD = 8
"""How much larger than its content a chunked body may be on the wire: one byte a chunk takes six."""
WAITING_REQUESTS = 4
"""Requests sent before the previous one was answered (pipelining, which no common client does)."""
SLOWEST_READER = 1024
"""Bytes a second that a client must read of an answer."""

RESERVED_DESCRIPTORS = 128
"""Kept for the process itself: 56 connections to PostgreSQL, SpiceDB's channels, mails, logs, and the
connections that are accepted only to be refused."""
FEWEST_CONNECTIONS = 16


class TooFewDescriptors(Unavailable):
    """The process may open too few files to serve even a few connections."""

    message = (
        "This process can open {limit} files and needs at least {needed}. Raise the limit with "
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
    """Requests from one address, without a token that was valid lately."""

    @classmethod
    def of(cls, settings: Settings, body_bytes: int) -> Self:
        """Return the settings' limits, lowered to what the process may open.

        Raises TooFewDescriptors.
        """
        connections = min(settings.connections, _most_connections())
        mine = settings.connections_per_address
        return cls(
            connections=connections,
            connections_per_address=min(mine or (connections + 1) // 2, connections),
            first_byte_seconds=settings.first_byte_seconds,
            request_seconds=settings.request_seconds,
            idle_seconds=settings.idle_seconds,
            answer_seconds=settings.answer_seconds,
            body_bytes=body_bytes,
            unknown_per_second=settings.unknown_per_second,
        )


def _most_connections() -> int:
    """Return how many connections leave the process the descriptors that it needs itself.

    SECURITY: without this, connections alone can use up all descriptors. Then the process reaches
    neither PostgreSQL nor SpiceDB any more, whoever asks.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return 1_000_000
    if limit < RESERVED_DESCRIPTORS + FEWEST_CONNECTIONS:
        raise TooFewDescriptors(limit=limit, needed=RESERVED_DESCRIPTORS + FEWEST_CONNECTIONS)
    return limit - RESERVED_DESCRIPTORS
