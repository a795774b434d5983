"""Bodies of requests: JSON, and taken at its word.

Litestar reads a body as leniently as a query, where everything is a string: there `"24"` is a number,
and a number is a date. JSON tells them apart, so a body of the wrong type is refused here.
"""

import re
from functools import cache
from typing import Any

import msgspec
from litestar.dto import AbstractDTO
from litestar.exceptions import HTTPException, ValidationException
from litestar.status_codes import HTTP_415_UNSUPPORTED_MEDIA_TYPE

JSON = re.compile(r"application/([\w.+-]+\+)?json")
PLACE = re.compile(r" - at `\$\.?(?P<key>.*)`$")


class Body(AbstractDTO[Any]):
    """How every route of the application reads its body."""

    def decode_bytes(self, value: bytes) -> Any:
        """Return the body as the type that the route asks for; else 400, or 415 if it is not JSON."""
        said = self.asgi_connection.headers.get("Content-Type", "application/json")
        if not JSON.fullmatch(said.partition(";")[0].strip().lower()):
            raise HTTPException(
                "A body is JSON: send it with `Content-Type: application/json`.",
                status_code=HTTP_415_UNSUPPORTED_MEDIA_TYPE,
            )
        wanted = self.asgi_connection.route_handler.parsed_data_field.annotation
        try:
            return _decoder(wanted).decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ValidationException(
                "The body is not what this takes.", extra=[_told(error)]
            ) from None

    @classmethod
    def create_for_field_definition(cls, *_: Any, **__: Any) -> None:
        """Prepare nothing: the types of the views are read as they are."""

    @classmethod
    def create_openapi_schema(
        cls, field_definition: Any, handler_id: str, schema_creator: Any
    ) -> Any:
        """Return the schema of the type that the route asks for."""
        return schema_creator.for_field_definition(field_definition)

    @classmethod
    def generate_field_definitions(cls, model_type: type[Any]) -> Any:
        """Yield nothing: there is no other type to transfer."""
        yield from ()

    @classmethod
    def detect_nested_field(cls, field_definition: Any) -> bool:
        """Return that there is nothing to transfer inside either."""
        return False


@cache
def _decoder(wanted: type[Any]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(wanted)


def _told(error: Exception) -> dict[str, str]:
    """Return what is wrong and where, as the framework tells it of a query."""
    message = str(error)
    place = PLACE.search(message)
    told = {"message": PLACE.sub("", message), "source": "body"}
    return {**told, "key": place["key"]} if place else told
