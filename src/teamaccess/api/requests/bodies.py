"""Read request bodies as strict JSON.

Litestar reads a body as leniently as a query, where everything is a string: it takes `"24"` for a
number, and a number for a date. JSON has types, so a value of the wrong type is refused here.
"""

import re
from functools import cache
from typing import Any

import msgspec
from litestar.connection import ASGIConnection, Request
from litestar.dto import AbstractDTO
from litestar.exceptions import HTTPException, ValidationException
from litestar.handlers import BaseRouteHandler
from litestar.openapi.spec import OpenAPIFormat, OpenAPIType, Schema
from litestar.plugins import OpenAPISchemaPlugin
from litestar.status_codes import HTTP_415_UNSUPPORTED_MEDIA_TYPE

from teamaccess.api.requests.allowed_values import allowed_in_body, one_of
from teamaccess.common.formats.duplicates import refuse_duplicate_keys
from teamaccess.common.formats.times import Instant, decode_instant

TIME = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.DATE_TIME)
JSON = re.compile(r"application/([\w.+-]+\+)?json")
WRONG_VALUE = re.compile(r"Invalid (enum )?value ")
PLACE = re.compile(r" - at `\$\.?(?P<key>.*)`$")


class TimesInBodies(OpenAPISchemaPlugin):
    """Describes the times in bodies, whose type only `decode_instant` knows."""

    @staticmethod
    def is_plugin_supported_type(value: Any) -> bool:
        """Return whether it is the type of a time."""
        return value is Instant

    def to_openapi_schema(self, *_: Any, **__: Any) -> Schema:
        """Return the schema of a time."""
        return TIME


class Body(AbstractDTO[Any]):
    """How every route of the application reads its body."""

    def decode_bytes(self, value: bytes) -> Any:
        """Return the body as the route's type. Raises a 400, or a 415 if it is not JSON.

        Raises DuplicateKey for a key that an object has twice.
        """
        content_type = self.asgi_connection.headers.get("Content-Type", "application/json")
        if not JSON.fullmatch(content_type.partition(";")[0].strip().lower()):
            raise HTTPException(
                "The body must be JSON. Send it with `Content-Type: application/json`.",
                status_code=HTTP_415_UNSUPPORTED_MEDIA_TYPE,
            )
        body_type = self.asgi_connection.route_handler.parsed_data_field.annotation
        try:
            body = _decoder(body_type).decode(value)
            refuse_duplicate_keys(value)  # msgspec would take the last one
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ValidationException(
                "The body does not fit this request.", extra=[_mistake(error, body_type)]
            ) from None
        return body

    @classmethod
    def create_for_field_definition(cls, *_: Any, **__: Any) -> None:
        """Do nothing: bodies are read as the views' types, without a transfer model."""

    @classmethod
    def create_openapi_schema(
        cls, field_definition: Any, handler_id: str, schema_creator: Any
    ) -> Any:
        """Return the schema of the route's type."""
        return schema_creator.for_field_definition(field_definition)

    @classmethod
    def generate_field_definitions(cls, model_type: type[Any]) -> Any:
        """Yield nothing: there is no transfer model."""
        yield from ()

    @classmethod
    def detect_nested_field(cls, field_definition: Any) -> bool:
        """Return False: there is no transfer model inside either."""
        return False


async def require_body(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Raise a 400 for a request without the body that its route needs."""
    field = connection.route_handler.parsed_data_field
    if field is None or field.is_optional or not isinstance(connection, Request):
        return
    if not await connection.body():
        mistake = {"message": "Send a JSON object.", "source": "body"}
        raise ValidationException("This request needs a JSON body.", extra=[mistake])


@cache
def _decoder(body_type: type[Any]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(body_type, dec_hook=decode_instant)


def _mistake(error: Exception, body_type: Any) -> dict[str, str]:
    """Return the mistake and its place, in the form that Litestar uses for queries."""
    message = str(error)
    place = PLACE.search(message)
    mistake = {"message": PLACE.sub("", message), "source": "body"}
    if place is None:
        return mistake
    if WRONG_VALUE.match(message):
        mistake["message"] += f".{one_of(allowed_in_body(body_type, place['key']))}"
    return {**mistake, "key": place["key"]}
