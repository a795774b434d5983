"""Errors that the server answers before the application sees a request (RFC 9457)."""

from http import HTTPStatus
from typing import Any, ClassVar

import msgspec

from teamaccess.common.errors import TeamaccessError


class ConnectionRefusal(TeamaccessError):
    """The server ends this connection."""

    status: ClassVar[HTTPStatus]


class InvalidRequest(ConnectionRefusal):
    """This is not a valid HTTP/1.1 request."""

    status = HTTPStatus.BAD_REQUEST


class RequestTimeout(ConnectionRefusal):
    """The request did not arrive in time. Headers and body must arrive within {seconds} seconds."""

    status = HTTPStatus.REQUEST_TIMEOUT


class BodyTooLarge(ConnectionRefusal):
    """A request's body has at most {bytes} bytes."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class TargetTooLong(ConnectionRefusal):
    """A request's path and query have at most {bytes} bytes together."""

    status = HTTPStatus.REQUEST_URI_TOO_LONG


class HeadersTooLarge(ConnectionRefusal):
    """A request has at most {count} headers, of {bytes} bytes altogether."""

    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE


class TooManyConnections(ConnectionRefusal):
    """Too many connections are open, altogether or from your address. Reuse connections, or try again \
    shortly."""

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
