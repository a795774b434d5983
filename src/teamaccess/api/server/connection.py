"""One connection: uvicorn's protocol with limits that uvicorn has no options for.

uvicorn buffers headers without a limit. It never closes a connection that sends nothing or half a
request. It keeps an unread answer forever (decision 0021).
"""

import asyncio
import math
import time
from enum import Enum, auto
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from teamaccess.api.server.gate import REFUSED, ConnectionGate, counted_address
from teamaccess.api.server.limits import (
    CHUNK_OVERHEAD,
    HEADER_BYTES,
    HEADER_COUNT,
    SLOWEST_READER,
    TARGET_BYTES,
    WAITING_REQUESTS,
)
from teamaccess.api.server.pacing import CLIENT_GONE
from teamaccess.api.server.refusals import (
    SLOW_READER,
    BodyTooLarge,
    ConnectionRefusal,
    HeadersTooLarge,
    InvalidRequest,
    RequestTimeout,
    TargetTooLong,
    TooManyConnections,
    render_refusal,
)

LINGER_SECONDS = 2.0
"""How long the server keeps reading after a refusal. If it closed at once, bytes that it has not read
would reset the connection, and the client could lose the refusal (RFC 9112 section 9.6)."""
BODY_HEADERS = {b"content-length", b"transfer-encoding"}


class Stage(Enum):
    """What a connection waits for."""

    SILENT = auto()
    """Its first byte."""
    RECEIVING = auto()
    """The rest of a request."""
    ANSWERING = auto()
    """The application's answer, or a client that reads it."""
    IDLE = auto()
    """Another request. uvicorn's own timer ends this stage."""
    CLOSING = auto()
    """The client to close, after its last answer."""


class LimitedConnection(HttpToolsProtocol):
    """An HTTP/1.1 connection within the limits.

    The server's sweep calls `enforce` twice a second, so requests need no timers of their own.
    """

    def __init__(self, *, gate: ConnectionGate, **uvicorn_options: Any) -> None:
        super().__init__(**uvicorn_options)
        self._gate = gate
        self._limits = gate.limits
        self._address: str | None = None
        self._gone = asyncio.Event()
        self._stage = Stage.SILENT
        self._due = math.inf
        self._refusal: ConnectionRefusal | None = None
        self._begun = False
        """Whether a request has begun to arrive and is not complete."""
        self._in_head = True
        self._completed = 0
        """How many heads and messages are complete."""
        self._head_bytes = 0
        """Bytes of an incomplete head, counted on arrival because the parser does not show them."""
        self._body_bytes = self._wire_bytes = 0
        self._written = 0
        self._last_read: tuple[float, int] | None = None
        """When an unread answer was last checked, and how many bytes the client had read by then."""

    # called by asyncio

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Admit the connection, or refuse it because there are too many."""
        super().connection_made(transport)
        address = counted_address(self.client)
        if not self._gate.admit(address):
            self.connections.discard(self)
            self._count(TooManyConnections())
            self._stage = Stage.CLOSING
            transport.write(render_refusal(TooManyConnections(), self.server_state.default_headers))
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
        """Parse the bytes that have arrived, unless they exceed a limit."""
        if self._is_closing():
            return
        if self._stage in (Stage.SILENT, Stage.IDLE):
            self._wait_in(Stage.RECEIVING, self._limits.request_seconds)
        completed = self._completed
        super().data_received(data)
        if self._is_closing() or self._completed != completed:
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEADER_BYTES:
                self._refuse(_headers_too_large())
        else:
            # no callback counts the bytes of chunk extensions and trailers
            self._wire_bytes += len(data)
            if self._wire_bytes > CHUNK_OVERHEAD * self._limits.body_bytes + HEADER_BYTES:
                self._refuse(BodyTooLarge(bytes=self._limits.body_bytes))

    # called by the parser, which passes a raised refusal on to `send_400_response`

    def on_message_begin(self) -> None:
        """Begin a request, unless too many requests of this connection are waiting."""
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

        SECURITY: a trailer follows the body and is not a header (RFC 9110 section 6.5.1). uvicorn would
        add an `Authorization` trailer to the request's headers.
        """
        if not self._in_head:
            return
        super().on_header(name, value)
        size = len(self.url) + sum(len(key) + len(held) + 4 for key, held in self.headers)
        if len(self.headers) > HEADER_COUNT or size > HEADER_BYTES:
            self._raise(_headers_too_large())

    def on_headers_complete(self) -> None:
        """Pass the request to the application, which waits for the body."""
        upgrades = self.parser.should_upgrade()
        has_body = any(name in BODY_HEADERS for name, _ in self.headers)
        if upgrades and has_body:  # the parser would not read the body
            self._raise(InvalidRequest())
        self._in_head = False
        self._completed += 1
        self._head_bytes = self._body_bytes = self._wire_bytes = 0
        super().on_headers_complete()
        self.cycle.scope[CLIENT_GONE] = self._gone  # type: ignore[literal-required]
        self.cycle.transport = AnswerTransport(self)  # type: ignore[assignment]  # the part that a cycle uses
        if has_body or upgrades:
            # if the answer comes before the whole body, the connection cannot take another request
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Keep the body within its limit, whatever its Content-Length says."""
        self._body_bytes += len(body)
        if self._body_bytes > self._limits.body_bytes:
            self._raise(BodyTooLarge(bytes=self._limits.body_bytes))
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the client's time limit. From here on, the application works."""
        self._begun = False
        self._in_head = True
        self._completed += 1
        cycle = self.cycle
        if not cycle.response_started:
            version, upgrades = self.parser.get_http_version(), self.parser.should_upgrade()
            cycle.keep_alive = version != "1.0" and self.parser.should_keep_alive() and not upgrades
        super().on_message_complete()
        if self._stage is Stage.RECEIVING:
            self._wait_in(Stage.ANSWERING)

    def on_response_complete(self) -> None:
        """Wait for the next request, which may already have arrived in part or as a whole."""
        waiting = bool(self.pipeline)
        if self._is_closing():
            self.server_state.total_requests += 1
            return
        super().on_response_complete()
        if self._begun:
            self._unset_keepalive_if_required()
            self._wait_in(Stage.RECEIVING, self._limits.request_seconds)
        else:
            self._wait_in(Stage.ANSWERING if waiting else Stage.IDLE)

    def send_400_response(self, msg: str) -> None:
        """Answer a request that the parser or a callback above refused."""
        self._refuse(self._refusal or InvalidRequest())

    def _unsupported_upgrade_warning(self) -> None:
        """Write nothing: any client could fill the log by asking for upgrades."""

    # called by the server's sweep and by AnswerTransport

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

    def close_after_answer(self) -> None:
        """Close the connection after the answer. Bytes that still arrive are dropped."""
        if self._in_head:  # every byte that was sent has been read
            self.transport.close()
        else:
            self._linger()

    def _is_closing(self) -> bool:
        return self._stage is Stage.CLOSING

    def _expire(self) -> None:
        if self._stage is Stage.RECEIVING:
            self._refuse(RequestTimeout(seconds=f"{self._limits.request_seconds:g}"))
        elif self._stage is Stage.SILENT:  # there was no request to answer
            REFUSED.labels(code="request_timeout").inc()
            self.transport.close()
        elif self._is_closing() and not self.transport.get_write_buffer_size():
            self.transport.abort()

    def _does_not_read(self, now: float) -> bool:
        """Whether the client has left an answer unread for too long, or reads it too slowly."""
        unread = self.transport.get_write_buffer_size()
        if not unread:
            self._last_read = None
            return False
        read = self._written - unread
        if self._last_read is None:
            self._last_read = (now, read)
        since, before = self._last_read
        if now - since < self._limits.answer_seconds:
            return False
        self._last_read = (now, read)
        return read - before < SLOWEST_READER * self._limits.answer_seconds

    def _refuse(self, refusal: ConnectionRefusal) -> None:
        """End the connection. Answer with the refusal, unless another answer has begun."""
        if self._is_closing() or self.transport.is_closing():
            return
        self._count(refusal)
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and cycle.response_complete:
            cycle = None
        if self.pipeline or (cycle and (cycle.response_started or self._is_next(cycle))):
            self.transport.abort()  # the previous request's answer is being sent
            return
        if cycle is not None:
            cycle.disconnected = True  # so the application stops its work for this request
            cycle.message_event.set()
        self.write(render_refusal(refusal, self.server_state.default_headers))
        self._linger()

    def _is_next(self, cycle: RequestResponseCycle) -> bool:
        """Whether the refused request follows a complete request that is being answered."""
        return self._in_head and not cycle.more_body

    def _linger(self) -> None:
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._wait_in(Stage.CLOSING, LINGER_SECONDS)

    def _wait_in(self, stage: Stage, seconds: float = math.inf) -> None:
        self._stage = stage
        self._due = time.monotonic() + seconds

    def _raise(self, refusal: ConnectionRefusal) -> None:
        self._refusal = refusal
        raise refusal

    def _count(self, refusal: ConnectionRefusal) -> None:
        REFUSED.labels(code=refusal.code).inc()


class AnswerTransport:
    """The part of a transport that uvicorn uses to send one answer."""

    def __init__(self, connection: LimitedConnection) -> None:
        self._connection = connection

    def write(self, data: bytes) -> None:
        """Send a part of the answer."""
        self._connection.write(data)

    def close(self) -> None:
        """Close the connection after the answer."""
        self._connection.close_after_answer()

    def is_closing(self) -> bool:
        """Whether nothing more can be sent."""
        return self._connection.transport.is_closing()


def _headers_too_large() -> HeadersTooLarge:
    return HeadersTooLarge(count=HEADER_COUNT, bytes=HEADER_BYTES)
