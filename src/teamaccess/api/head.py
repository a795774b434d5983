"""Answer HEAD wherever GET is answered. Litestar itself answers it with 405."""

from typing import cast

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send


class AnswerHead:
    """Answers HEAD with the status and the headers of GET, and without a body (RFC 9110 section 9.3.2).

    Programs that check links before a person opens them send it. No GET of this application changes
    anything, so no HEAD does.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, a HEAD as a GET."""
        if scope["type"] != ScopeType.HTTP or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        as_get = cast(HTTPScope, {**scope, "method": "GET"})
        await self._app(as_get, receive, send_without_body)
