"""Errors that the server answers before the application sees a request (RFC 9457)."""

from http import HTTPStatus
from typing import Any, ClassVar

import msgspec

from teamaccess.common.errors import TeamaccessError


class ConnectionRefusal(TeamaccessError):
    """A refusal after which the server closes the connection; `status` is what it answers."""

    message = "The server closes this connection."

    status: ClassVar[HTTPStatus]


class InvalidRequest(ConnectionRefusal):
    """The received bytes cannot be parsed as HTTP/1.1."""

    message = "This is not a valid HTTP/1.1 request."
    status = HTTPStatus.BAD_REQUEST


class RequestTimeout(ConnectionRefusal):
    """Headers and body did not arrive within the limit."""

    message = "The request took too long to arrive. Send headers and body within {seconds:second}."
    status = HTTPStatus.REQUEST_TIMEOUT


class BodyTooLarge(ConnectionRefusal):
    """The body exceeds the route's limit."""

    message = "The request body is too large. At most {bytes:byte} are allowed."
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class TargetTooLong(ConnectionRefusal):
    """Path and query exceed the server's limit."""

    message = (
        "The request's path and query are too long. At most {bytes:byte} are allowed for both."
    )
    status = HTTPStatus.REQUEST_URI_TOO_LONG


class HeadersTooLarge(ConnectionRefusal):
    """The request has too many headers, or too many bytes of them."""

    message = (
        "The request headers are too large. At most {count:header} with {bytes:byte} in total"
        " are allowed."
    )
    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE


class TooManyConnections(ConnectionRefusal):
    """The server, or the caller's address, has as many open connections as allowed."""

    message = (
        "Too many connections are open, in total or from your address. Reuse connections, or "
        "try again shortly."
    )
    status = HTTPStatus.SERVICE_UNAVAILABLE
    retry_after = 5


SLOW_READER = "slow_reader"
"""The metric's code for connections that do not read their answer. They get no error answer."""


def render_refusal(refusal: ConnectionRefusal, headers: list[tuple[bytes, bytes]]) -> bytes:
    """Return the bytes of the answer, which is the last one of its connection."""
    status = refusal.status
    problem: dict[str, Any] = {
        "status": status.value,
        "title": status.phrase,
        "detail": refusal.detail,
        **refusal.facts,
        "code": refusal.code,
    }
    body = msgspec.json.encode(problem)
    lines = [
        b"HTTP/1.1 %d %s" % (status, status.phrase.encode()),
        *(b"%s: %s" % header for header in headers),
        b"content-type: application/problem+json",
        b"content-length: %d" % len(body),
        b"cache-control: no-store",
        b"connection: close",
    ]
    if refusal.retry_after is not None:
        lines.append(b"retry-after: %d" % refusal.retry_after)
    return b"\r\n".join([*lines, b"", body])
