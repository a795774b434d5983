"""One connection: uvicorn's protocol, with the limits that it has no options for.

uvicorn buffers headers without end, never closes a connection that sends nothing or half a request, and
keeps an answer for as long as nobody reads it (decision 0021).
"""

import asyncio
import math
import time
from enum import Enum, auto
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from teamaccess.api.server.gate import REFUSED, Gate, counted_address
from teamaccess.api.server.limits import (
    CHUNK_OVERHEAD,
    HEADER_BYTES,
    HEADER_COUNT,
    SLOWEST_READER,
    TARGET_BYTES,
    WAITING_REQUESTS,
)
from teamaccess.api.server.pacing import GONE
from teamaccess.api.server.refusals import (
    SLOW_READER,
    BodyTooLarge,
    ConnectionRefusal,
    HeadersTooLarge,
    InvalidRequest,
    RequestTimeout,
    TargetTooLong,
    TooManyConnections,
    rendered,
)

LINGER_SECONDS = 2.0
"""How long a client is listened to after a refusal: closed at once, its unread bytes would reset the
connection, and the refusal could be lost (RFC 9112 section 9.6)."""
BODY_HEADERS = {b"content-length", b"transfer-encoding"}


class Stage(Enum):
    """What a connection waits for."""

    SILENT = auto()
    """Its first byte."""
    RECEIVING = auto()
    """The rest of a request."""
    ANSWERING = auto()
    """The application, or a client that reads."""
    IDLE = auto()
    """Another request; uvicorn's own timer ends it."""
    LEAVING = auto()
    """The client, which has had its last answer."""


class LimitedConnection(HttpToolsProtocol):
    """An HTTP/1.1 connection within the limits.

    A sweep of the server calls `enforce` about twice a second, so no request sets timers of its own.
    """

    def __init__(self, *, gate: Gate, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._gate = gate
        self._limits = gate.limits
        self._address: str | None = None
        self._gone = asyncio.Event()
        self._stage = Stage.SILENT
        self._due = math.inf
        self._refusal: ConnectionRefusal | None = None
        self._begun = False
        """Whether a part of a request is here, and not yet all of it."""
        self._in_head = True
        self._steps = 0
        """Heads and messages that are complete."""
        self._head_bytes = 0
        """Bytes of an incomplete head, counted as they arrive: the parser keeps them to itself."""
        self._body_bytes = self._wire_bytes = 0
        self._written = 0
        self._mark: tuple[float, int] | None = None
        """When the client was last seen to read, and how much it had read by then."""

    # what asyncio calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Admit the connection, or say that there are too many."""
        super().connection_made(transport)
        address = counted_address(self.client)
        if not self._gate.admit(address):
            self.connections.discard(self)
            self._count(TooManyConnections())
            self._stage = Stage.LEAVING
            transport.write(rendered(TooManyConnections(), self.server_state.default_headers))
            transport.close()
            return
        self._address = address
        self._wait_in(Stage.SILENT, self._limits.first_byte_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Make room for another connection."""
        super().connection_lost(exc)
        self._gone.set()
        if self._address is not None:
            self._gate.release(self._address)
            self._address = None

    def data_received(self, data: bytes) -> None:
        """Parse what has come, unless it exceeds a limit."""
        if self._leaves():
            return
        if self._stage in (Stage.SILENT, Stage.IDLE):
            self._wait_in(Stage.RECEIVING, self._limits.request_seconds)
        steps = self._steps
        super().data_received(data)
        if self._leaves() or self._steps != steps:
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEADER_BYTES:
                self._refuse(_headers_too_large())
        else:
            # chunk extensions and trailers are bytes that no callback counts
            self._wire_bytes += len(data)
            if self._wire_bytes > CHUNK_OVERHEAD * self._limits.body_bytes + HEADER_BYTES:
                self._refuse(BodyTooLarge(bytes=self._limits.body_bytes))

    # what the parser calls; a refusal is raised through it

    def on_message_begin(self) -> None:
        """Begin a request, unless too many of this connection wait already."""
        if len(self.pipeline) >= WAITING_REQUESTS:
            self._raise(InvalidRequest())
        self._begun = True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Keep the path and query within their limit."""
        super().on_url(url)
        if len(self.url) > TARGET_BYTES:
            self._raise(TargetTooLong(bytes=TARGET_BYTES))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep headers within their limits, and drop trailers.

        SECURITY: a trailer comes behind the body and is not a header (RFC 9110 section 6.5.1). uvicorn
        would add an `Authorization` from there to those of the request.
        """
        if not self._in_head:
            return
        super().on_header(name, value)
        size = len(self.url) + sum(len(key) + len(held) + 4 for key, held in self.headers)
        if len(self.headers) > HEADER_COUNT or size > HEADER_BYTES:
            self._raise(_headers_too_large())

    def on_headers_complete(self) -> None:
        """Hand the request to the application, which waits for the body."""
        upgrades = self.parser.should_upgrade()
        has_body = any(name in BODY_HEADERS for name, _ in self.headers)
        if upgrades and has_body:  # the parser would not read it
            self._raise(InvalidRequest())
        self._in_head = False
        self._steps += 1
        self._head_bytes = self._body_bytes = self._wire_bytes = 0
        super().on_headers_complete()
        self.cycle.scope[GONE] = self._gone  # type: ignore[literal-required]
        self.cycle.transport = Outlet(self)  # type: ignore[assignment]  # the part that a cycle uses
        if has_body or upgrades:
            # answered before the body is here, the connection is not good for another request
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Keep the body within its limit, whatever it says of its length."""
        self._body_bytes += len(body)
        if self._body_bytes > self._limits.body_bytes:
            self._raise(BodyTooLarge(bytes=self._limits.body_bytes))
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Leave the time to the application from here on."""
        self._begun = False
        self._in_head = True
        self._steps += 1
        cycle = self.cycle
        if not cycle.response_started:
            version, upgrades = self.parser.get_http_version(), self.parser.should_upgrade()
            cycle.keep_alive = version != "1.0" and self.parser.should_keep_alive() and not upgrades
        super().on_message_complete()
        if self._stage is Stage.RECEIVING:
            self._wait_in(Stage.ANSWERING)

    def on_response_complete(self) -> None:
        """Wait for the next request, which may be here in part or as a whole."""
        waiting = bool(self.pipeline)
        if self._leaves():
            self.server_state.total_requests += 1
            return
        super().on_response_complete()
        if self._begun:
            self._unset_keepalive_if_required()
            self._wait_in(Stage.RECEIVING, self._limits.request_seconds)
        else:
            self._wait_in(Stage.ANSWERING if waiting else Stage.IDLE)

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser refused, or a callback above."""
        self._refuse(self._refusal or InvalidRequest())

    def _unsupported_upgrade_warning(self) -> None:
        """Write nothing to the log: anybody can ask for an upgrade, as often as they like."""

    # what the server's sweep and the answers call

    def enforce(self, now: float) -> None:
        """End the connection if it has used up its time."""
        if self._does_not_read(now):
            REFUSED.labels(code=SLOW_READER).inc()
            self.transport.abort()
        elif now >= self._due:
            self._expire()

    def write(self, data: bytes) -> None:
        """Send a part of an answer."""
        self._written += len(data)
        self.transport.write(data)

    def leave(self) -> None:
        """Close the connection after the answer; what still comes is not read."""
        if self._in_head:  # all that was sent has been read
            self.transport.close()
        else:
            self._linger()

    def _leaves(self) -> bool:
        return self._stage is Stage.LEAVING

    def _expire(self) -> None:
        if self._stage is Stage.RECEIVING:
            self._refuse(RequestTimeout(seconds=f"{self._limits.request_seconds:g}"))
        elif self._stage is Stage.SILENT:  # nothing was asked, so nothing is answered
            REFUSED.labels(code="request_timeout").inc()
            self.transport.close()
        elif self._leaves() and not self.transport.get_write_buffer_size():
            self.transport.abort()

    def _does_not_read(self, now: float) -> bool:
        """Whether the client has left an answer unread for too long, or reads it too slowly."""
        unread = self.transport.get_write_buffer_size()
        if not unread:
            self._mark = None
            return False
        read = self._written - unread
        if self._mark is None:
            self._mark = (now, read)
        since, before = self._mark
        if now - since < self._limits.answer_seconds:
            return False
        self._mark = (now, read)
        return read - before < SLOWEST_READER * self._limits.answer_seconds

    def _refuse(self, refusal: ConnectionRefusal) -> None:
        """End the connection, with an answer where no other one has begun."""
        if self._leaves() or self.transport.is_closing():
            return
        self._count(refusal)
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and cycle.response_complete:
            cycle = None
        if self.pipeline or (cycle and (cycle.response_started or self._is_next(cycle))):
            self.transport.abort()  # an answer to the request before is on its way
            return
        if cycle is not None:
            cycle.disconnected = True  # the application learns that nobody waits
            cycle.message_event.set()
        self.write(rendered(refusal, self.server_state.default_headers))
        self._linger()

    def _is_next(self, cycle: RequestResponseCycle) -> bool:
        """Whether what was refused follows a complete request that is being answered."""
        return self._in_head and not cycle.more_body

    def _linger(self) -> None:
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._wait_in(Stage.LEAVING, LINGER_SECONDS)

    def _wait_in(self, stage: Stage, seconds: float = math.inf) -> None:
        self._stage = stage
        self._due = time.monotonic() + seconds

    def _raise(self, refusal: ConnectionRefusal) -> None:
        self._refusal = refusal
        raise refusal

    def _count(self, refusal: ConnectionRefusal) -> None:
        REFUSED.labels(code=refusal.code).inc()


class Outlet:
    """Where one answer goes: what uvicorn uses of a transport for it."""

    def __init__(self, connection: LimitedConnection) -> None:
        self._connection = connection

    def write(self, data: bytes) -> None:
        """Send a part of the answer."""
        self._connection.write(data)

    def close(self) -> None:
        """Close the connection after the answer."""
        self._connection.leave()

    def is_closing(self) -> bool:
        """Whether nothing more can be sent."""
        return self._connection.transport.is_closing()


def _headers_too_large() -> HeadersTooLarge:
    return HeadersTooLarge(count=HEADER_COUNT, bytes=HEADER_BYTES)
