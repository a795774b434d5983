"""What the OpenAPI document says beyond the types of bodies: refusals, headers, who may ask."""

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
    description="A refusal (RFC 9457). The facts of the case are further members.",
    type=OpenAPIType.OBJECT,
    required=["status", "title", "detail", "code"],
    properties={
        "status": Schema(type=OpenAPIType.INTEGER),
        "title": TEXT,
        "detail": Schema(type=OpenAPIType.STRING, description="A sentence for people."),
        "code": Schema(type=OpenAPIType.STRING, description="A stable name for programs."),
    },
)
ENFORCED = {
    "Teamaccess-Change": OpenAPIHeader(
        description="`<organization>:<last position>`, one for each organization that changed.",
        schema=TEXT,
    ),
    "Zed-Token": OpenAPIHeader(
        description="Checks at least as fresh as this know of the change.", schema=TEXT
    ),
}
PENDING = OpenAPIHeader(description="Where the change can be followed.", schema=TEXT)
WITHOUT_CHANGE = {
    "/v1/check",
    "/v1/invitations/accept",
    "/v1/organizations/{organization}/audit/plan",
}
"""Paths of operations that are described without 202 and without `Idempotency-Key`."""
ONCE = Parameter(
    name="Idempotency-Key",
    param_in="header",
    required=False,
    schema=Schema(type=OpenAPIType.STRING, min_length=1, max_length=255, pattern="^[ -~]+$"),
    description="The same request sent again with the key within a day is not done again.",
)


class Rendered(OpenAPIRenderPlugin):
    """The document in one format, rendered before anybody asks for it.

    SECURITY: anybody may ask for it, and YAML takes a tenth of a second of the event loop or more.
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


def formats() -> list[Rendered]:
    """Return the document's formats. The pages that show it would load their programs from elsewhere."""
    return [
        Rendered(["/", "/openapi.json"], MediaType.JSON, msgspec.json.encode),
        Rendered(["/openapi.yaml", "/openapi.yml"], DocumentFormat.OPENAPI_YAML, _yaml),
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
        if isinstance(each, Rendered):
            each.prepare(document)


def describe(app: Litestar) -> None:
    """Complete the document that is made of the routes."""
    document = app.openapi_schema
    document.components.schemas["Problem"] = PROBLEM
    for body in bodies(Request):
        if isinstance(schema := document.components.schemas.get(body.__name__), Schema):
            schema.additional_properties = False
    document.components.security_schemes = {"token": SecurityScheme(type="http", scheme="bearer")}
    document.security = [{"token": []}, {}]
    for method, path, operation in operations(document):
        operation.summary = _summary(operation)
        _refusals(operation)
        _body(operation)
        if method != "get" and path not in WITHOUT_CHANGE:
            _change(operation, once=method == "post")


def bodies(kind: type[Request]) -> Iterator[type[Request]]:
    """Yield everything of the kind that is sent to us."""
    for body in kind.__subclasses__():
        yield body
        yield from bodies(body)


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


def _refusals(operation: Operation) -> None:
    responses = operation.responses or {}
    responses.pop("400", None)
    problem = OpenAPIMediaType(schema=Reference(ref="#/components/schemas/Problem"))
    responses["default"] = OpenAPIResponse(
        description="A refusal", content={"application/problem+json": problem}
    )


def _body(operation: Operation) -> None:
    """Say of a body that may be null that it may be left out as well."""
    body = operation.request_body
    if isinstance(body, RequestBody):
        schemas = [media.schema for media in body.content.values()]
        body.required = not any(isinstance(each, Schema) and each.one_of for each in schemas)


def _change(operation: Operation, *, once: bool) -> None:
    if once:
        operation.parameters = [*(operation.parameters or []), ONCE]
    responses = operation.responses or {}
    done = next(each for status, each in responses.items() if status.startswith("2"))
    assert isinstance(done, OpenAPIResponse)  # noqa: S101 - the routes document no references
    done.headers = {**(done.headers or {}), **ENFORCED}
    responses["202"] = OpenAPIResponse(
        description="Decided, and not yet confirmed by the permission engine",
        content=done.content,
        headers={**ENFORCED, "Location": PENDING},
    )
