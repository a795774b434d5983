"""Create the application: routes, middleware, error answers, and the service's connections."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litestar import Litestar
from litestar.di import Provide
from litestar.middleware import DefineMiddleware
from litestar.openapi import OpenAPIConfig
from litestar.plugins.prometheus import PrometheusConfig
from litestar.types import Message, Scope

from teamaccess.api import problems
from teamaccess.api.description import describe, formats, render
from teamaccess.api.head import AnswerHead
from teamaccess.api.identity.authentication import Authentication, provide_service, provide_user
from teamaccess.api.identity.callers import request_id
from teamaccess.api.metrics import Metrics
from teamaccess.api.requests.bodies import Body, TimesInBodies, require_body
from teamaccess.api.requests.parameters import provide_at, provide_past_moment
from teamaccess.api.requests.queries import refuse_unknown_parameters
from teamaccess.api.requests.receiving import LARGEST_BODY, ReceiveBody
from teamaccess.api.requests.throttling import FairRequests, Rates, RefuseRepeated
from teamaccess.api.routes import ALL, TAGS
from teamaccess.api.server.pacing import KnownTokens
from teamaccess.api.status import Status, provide_status
from teamaccess.common import logs
from teamaccess.common.configuration.settings import Settings
from teamaccess.common.lookalikes import load_lookalikes
from teamaccess.service import open_service

SECURITY_HEADERS = [
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
]


def create_app(settings: Settings) -> Litestar:
    """Return the ASGI application for these settings."""
    logs.configure(settings)

    @asynccontextmanager
    async def connected(app: Litestar) -> AsyncIterator[None]:
        async with open_service(settings) as service:
            app.state.service = service
            app.state.status = Status(service)
            # before the first request: both take a tenth of a second or more
            render(app)
            load_lookalikes()
            yield

    tokens = KnownTokens()
    rates = Rates(settings.requests_per_second, settings.requests_burst)
    app = Litestar(
        route_handlers=[*ALL, Metrics],
        lifespan=[connected],
        middleware=[
            # SECURITY: nothing begins before the whole request has arrived. A token is checked after the
            # body, because it could be revoked while the body is still arriving.
            ReceiveBody(),
            PrometheusConfig(
                app_name="teamaccess", prefix="teamaccess", group_path=True
            ).middleware,
            RefuseRepeated(rates),
            DefineMiddleware(Authentication),
            FairRequests(rates, tokens),
        ],
        dependencies={
            "service": Provide(provide_service),
            "actor": Provide(provide_user),
            "at": Provide(provide_at, sync_to_thread=False),
            "past_moment": Provide(provide_past_moment, sync_to_thread=False),
            "process_status": Provide(provide_status, sync_to_thread=False),
        },
        guards=[refuse_unknown_parameters, require_body],
        before_send=[add_headers],
        after_exception=[problems.record_refusal],
        plugins=[problems.plugin, TimesInBodies()],
        dto=Body,
        return_dto=None,
        request_max_body_size=LARGEST_BODY,
        openapi_config=OpenAPIConfig(
            title="teamaccess",
            version="1",
            path="/schema",
            use_handler_docstrings=True,
            render_plugins=formats(),
            tags=TAGS,
        ),
        logging_config=None,
    )
    describe(app)
    app.asgi_handler = AnswerHead(app.asgi_handler)  # outside the router, which refuses HEAD
    app.state.known_tokens = tokens
    return app


async def add_headers(message: Message, scope: Scope) -> None:
    """Add the request's id, and headers that keep answers out of caches and out of `Referer`."""
    if message["type"] == "http.response.start":
        name = request_id(scope).encode()
        message["headers"] = [*message["headers"], *SECURITY_HEADERS, (b"x-request-id", name)]
