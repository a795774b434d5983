"""Complete the OpenAPI document that Litestar derives from the routes: errors, headers, credentials."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import yaml
from litestar import Litestar, MediaType
from litestar.enums import OpenAPIMediaType as DocumentFormat
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.openapi.spec import (
    OpenAPI,
    OpenAPIHeader,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Parameter,
    Reference,
    RequestBody,
    Schema,
    SecurityScheme,
)
from litestar.serialization import default_serializer

from teamaccess.api.examples import add_examples
from teamaccess.views.request import Request

TEXT = Schema(type=OpenAPIType.STRING)
PROBLEM = Schema(
    title="Problem",
    description="An error (RFC 9457). Further members give the details.",
    type=OpenAPIType.OBJECT,
    required=["status", "title", "detail", "code"],
    properties={
        "status": Schema(type=OpenAPIType.INTEGER),
        "title": TEXT,
        "detail": Schema(type=OpenAPIType.STRING, description="A sentence for people."),
        "code": Schema(type=OpenAPIType.STRING, description="A stable code for programs."),
    },
)
CHANGE_HEADERS = {
    "Teamaccess-Change": OpenAPIHeader(
        description="`<organization>:<last position>`, one for each organization that changed.",
        schema=TEXT,
    ),
    "Zed-Token": OpenAPIHeader(
        description="The change is in force at this ZedToken. Send it with your next check.",
        schema=TEXT,
    ),
}
LOCATION = OpenAPIHeader(description="The address that shows the change's progress.", schema=TEXT)
WITHOUT_CHANGE = {
    "/v1/check",
    "/v1/invitations/accept",
    "/v1/organizations/{organization}/audit/plan",
}
"""Paths of operations that are described without 202 and without `Idempotency-Key`."""
IDEMPOTENCY_KEY = Parameter(
    name="Idempotency-Key",
    param_in="header",
    required=False,
    schema=Schema(type=OpenAPIType.STRING, min_length=1, max_length=255, pattern="^[ -~]+$"),
    description="The same request sent again with this key within a day runs only once.",
)


class RenderedDocument(OpenAPIRenderPlugin):
    """The document in one format, rendered before the first request.

    SECURITY: anonymous callers may read it, and rendering YAML blocks the event loop for 0.1 s or more.
    """

    def __init__(
        self,
        path: list[str],
        media_type: MediaType | DocumentFormat,
        encode: Callable[[dict[str, Any]], bytes],
    ) -> None:
        super().__init__(path=path, media_type=media_type)
        self._encode = encode
        self._bytes: bytes | None = None

    def prepare(self, document: dict[str, Any]) -> None:
        """Render the document."""
        self._bytes = self._encode(document)

    def render(self, _: object, openapi_schema: dict[str, Any]) -> bytes:
        """Return the rendered document."""
        if self._bytes is None:
            self.prepare(openapi_schema)
        assert self._bytes is not None  # noqa: S101 - prepared just above
        return self._bytes


def formats() -> list[RenderedDocument]:
    """Return the document's formats, without HTML viewers: those load scripts from other hosts."""
    return [
        RenderedDocument(["/", "/openapi.json"], MediaType.JSON, msgspec.json.encode),
        RenderedDocument(["/openapi.yaml", "/openapi.yml"], DocumentFormat.OPENAPI_YAML, _yaml),
    ]


def _yaml(document: dict[str, Any]) -> bytes:
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    dumped: bytes = yaml.dump(document, Dumper=dumper, encoding="utf-8")
    return dumped


def document_of(app: Litestar) -> dict[str, Any]:
    """Return the completed document, with examples."""
    document: dict[str, Any] = msgspec.to_builtins(
        app.openapi_schema.to_schema(), enc_hook=default_serializer
    )
    add_examples(document)
    return document


def render(app: Litestar) -> None:
    """Render the completed document in every format."""
    config = app.openapi_config
    assert config is not None  # noqa: S101 - the application has one
    document = document_of(app)
    for each in config.render_plugins:
        if isinstance(each, RenderedDocument):
            each.prepare(document)


def describe(app: Litestar) -> None:
    """Complete the document that Litestar made from the routes."""
    document = app.openapi_schema
    document.components.schemas["Problem"] = PROBLEM
    for body in request_bodies(Request):
        if isinstance(schema := document.components.schemas.get(body.__name__), Schema):
            schema.additional_properties = False
    document.components.security_schemes = {"token": SecurityScheme(type="http", scheme="bearer")}
    document.security = [{"token": []}, {}]
    for method, path, operation in operations(document):
        operation.summary = _summary(operation)
        _describe_errors(operation)
        _describe_body(operation)
        if method != "get" and path not in WITHOUT_CHANGE:
            _describe_change(operation, idempotent=method == "post")


def request_bodies(kind: type[Request]) -> Iterator[type[Request]]:
    """Yield every type of request body: all subclasses of `kind`."""
    for body in kind.__subclasses__():
        yield body
        yield from request_bodies(body)


def operations(document: OpenAPI) -> Iterator[tuple[str, str, Operation]]:
    """Yield every operation with its method and path."""
    for path, item in (document.paths or {}).items():
        for method in ("get", "put", "post", "patch", "delete"):
            operation = getattr(item, method)
            if operation is not None:
                yield method, path, operation


def _summary(operation: Operation) -> str:
    """Return the operation's id as words: `invite_member` reads "Invite member"."""
    return (operation.operation_id or "").replace("_", " ").capitalize()


def _describe_errors(operation: Operation) -> None:
    responses = operation.responses or {}
    responses.pop("400", None)
    problem = OpenAPIMediaType(schema=Reference(ref="#/components/schemas/Problem"))
    responses["default"] = OpenAPIResponse(
        description="An error", content={"application/problem+json": problem}
    )


def _describe_body(operation: Operation) -> None:
    """Mark a body that may be null as optional."""
    body = operation.request_body
    if isinstance(body, RequestBody):
        schemas = [media.schema for media in body.content.values()]
        body.required = not any(isinstance(each, Schema) and each.one_of for each in schemas)


def _describe_change(operation: Operation, *, idempotent: bool) -> None:
    if idempotent:
        operation.parameters = [*(operation.parameters or []), IDEMPOTENCY_KEY]
    responses = operation.responses or {}
    done = next(each for status, each in responses.items() if status.startswith("2"))
    assert isinstance(done, OpenAPIResponse)  # noqa: S101 - the routes document no references
    done.headers = {**(done.headers or {}), **CHANGE_HEADERS}
    responses["202"] = OpenAPIResponse(
        description="Committed, not yet confirmed by SpiceDB",
        content=done.content,
        headers={**CHANGE_HEADERS, "Location": LOCATION},
    )
