"""The application: routes, who is asking, refusals, the connections' life."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar, MediaType, Request
from litestar.di import Provide
from litestar.middleware import DefineMiddleware
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, YamlRenderPlugin
from litestar.plugins.prometheus import PrometheusConfig
from litestar.types import Message, Scope

from teamaccess import logs
from teamaccess.api import problems
from teamaccess.api.authentication import Authentication, provide_service, provide_user, request_id
from teamaccess.api.bodies import Body
from teamaccess.api.description import describe
from teamaccess.api.metrics import Metrics
from teamaccess.api.queries import refuse_unknown
from teamaccess.api.routes import ALL
from teamaccess.api.throttling import FairRequests, Rates, RefuseRepeated
from teamaccess.service import open_service
from teamaccess.settings import Settings

LARGEST_BODY = 64 * 1024
SECURITY_HEADERS = [
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
]
DESCRIPTION = [
    # the document itself: the pages that show it load their programs from elsewhere
    JsonRenderPlugin(path=["/", "/openapi.json"], media_type=MediaType.JSON),
    YamlRenderPlugin(),
]


def create_app(settings: Settings) -> Litestar:
    """Return the ASGI application for these settings."""
    logs.configure(settings)

    @asynccontextmanager
    async def connected(app: Litestar) -> AsyncIterator[None]:
        async with open_service(settings) as service:
            app.state.service = service
            yield

    rates = Rates(settings.requests_per_second, settings.requests_burst)
    app = Litestar(
        route_handlers=[*ALL, Metrics],
        lifespan=[connected],
        middleware=[
            PrometheusConfig(
                app_name="teamaccess", prefix="teamaccess", group_path=True
            ).middleware,
            RefuseRepeated(rates),
            DefineMiddleware(Authentication),
            FairRequests(rates),
        ],
        dependencies={
            "service": Provide(provide_service),
            "actor": Provide(provide_user),
        },
        guards=[refuse_unknown],
        before_request=read_body,
        before_send=[add_headers],
        after_exception=[problems.record_refusal],
        plugins=[problems.plugin],
        dto=Body,
        return_dto=None,
        request_max_body_size=LARGEST_BODY,
        openapi_config=OpenAPIConfig(
            title="teamaccess",
            version="1",
            path="/schema",
            use_handler_docstrings=True,
            render_plugins=DESCRIPTION,
        ),
        logging_config=None,
    )
    describe(app)
    return app


async def read_body(request: Request[Any, Any, Any]) -> None:
    """Refuse a body that is too large, also where nobody is going to look at it."""
    await request.body()


async def add_headers(message: Message, scope: Scope) -> None:
    """Name the request in the answer, and keep answers out of caches and links' referrers."""
    if message["type"] == "http.response.start":
        name = request_id(scope).encode()
        message["headers"] = [*message["headers"], *SECURITY_HEADERS, (b"x-request-id", name)]
