"""Receive the whole body of a request before anything else begins."""

from collections import Counter

from litestar.enums import ScopeType
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.handlers import HTTPRouteHandler
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, HTTPReceiveMessage, Receive, Scope, Send

from teamaccess.changes.ledger import begin_request
from teamaccess.common.errors import Invalid

LARGEST_BODY = 64 * 1024
LARGEST_BATCH = 256 * 1024
"""The largest body that any route takes. It fits a thousand of the longest names."""
SENT_ONCE = {
    b"authorization": "Authorization",
    b"content-length": "Content-Length",
    b"content-type": "Content-Type",
    b"host": "Host",
    b"idempotency-key": "Idempotency-Key",
    b"if-match": "If-Match",
    b"teamaccess-on-behalf-of": "Teamaccess-On-Behalf-Of",
    b"transfer-encoding": "Transfer-Encoding",
}
"""Headers with one value. If one is sent twice, we and a proxy might each take a different one."""


class DuplicateHeader(Invalid):
    """A header that takes one value is sent more than once; a proxy may read another one than we do."""

    message = "The header {header} is sent {count:time}. Send it once."


class ReceiveBody(ASGIMiddleware):
    """Reads the body, and only then calls the rest of the application.

    It is the outermost middleware. The server limits how long a body may take. If the client goes away
    or is too slow, this step ends the request, and nothing has begun for it.
    """

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Raise DuplicateHeader, and RequestEntityTooLarge for a body beyond the limit."""
        begin_request()
        refuse_duplicates(scope)
        handler: HTTPRouteHandler = scope["route_handler"]  # type: ignore[assignment]
        max_bytes = handler.resolve_request_max_body_size()
        body = await whole_body(scope, receive, LARGEST_BODY if max_bytes is None else max_bytes)
        if body is not None:
            await next_app(scope, _Received(body, receive), send)


def refuse_duplicates(scope: Scope) -> None:
    """Raise DuplicateHeader for a header of `SENT_ONCE` that is sent several times."""
    counts = Counter(name.lower() for name, _ in scope["headers"])
    for name, header in SENT_ONCE.items():
        if counts[name] > 1:
            raise DuplicateHeader(header=header, count=counts[name])


async def whole_body(scope: Scope, receive: Receive, max_bytes: int) -> bytes | None:
    """Return the body when all of it has arrived, or None if the client has gone.

    Raises RequestEntityTooLarge as soon as more than `max_bytes` have arrived or are announced.
    """
    if _declared_length(scope) > max_bytes:
        raise RequestEntityTooLarge
    parts = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts += message["body"]
        if len(parts) > max_bytes:
            raise RequestEntityTooLarge
        if not message["more_body"]:
            return bytes(parts)


def _declared_length(scope: Scope) -> int:
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    return int(length) if length.isdigit() else 0


class _Received:
    """An ASGI `receive` that returns the body first. After that, the client can only disconnect."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> HTTPReceiveMessage:
        if self._body is None:
            return await self._receive()  # type: ignore[return-value]  # an HTTP connection's
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}
