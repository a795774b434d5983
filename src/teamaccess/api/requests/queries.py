"""Refuse query parameters that the route does not have. They are typing mistakes."""

from typing import Any, NamedTuple

from litestar.connection import ASGIConnection
from litestar.exceptions import ValidationException
from litestar.handlers import BaseRouteHandler
from litestar.openapi.spec import OpenAPIType, Schema

from teamaccess.api.requests.allowed_values import allowed_in_query, one_of
from teamaccess.common.errors import Invalid
from teamaccess.common.sentences.excerpts import excerpt

LONGEST_QUOTE = 100
"""How many characters of an unknown name the error repeats."""


class UnknownParameter(Invalid):
    """The route does not support the query parameter.

    Ignoring a misspelt filter would answer too much.
    """

    message = "Unknown query parameter {parameter!r}. Supported: {parameters}."


class DuplicateParameter(Invalid):
    """A query parameter that takes one value is given more than once."""

    message = "The query parameter {parameter!r} is given {count:time}. Give it once."


class DescribedParameter(NamedTuple):
    """A query parameter as the OpenAPI document describes it."""

    takes_several: bool
    allowed: list[str]
    """The values that it may have. Empty if it takes any."""


def refuse_unknown_parameters(
    connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler
) -> None:
    """Raise UnknownParameter for a parameter that the route's OpenAPI description does not have.

    Litestar ignores such a parameter, so a misspelt filter or cursor would return the whole list. A route
    without a description takes any parameter.

    Raises DuplicateParameter for several values of a parameter that takes one. Raises ValidationException
    for a value that the parameter does not allow.
    """
    query = connection.query_params
    if not query or (described := _described(connection)) is None:
        return
    for parameter in query:
        if parameter not in described:
            raise UnknownParameter(
                parameter=parameter[:LONGEST_QUOTE], parameters=list(described) or ["none"]
            )
        values, about = query.getall(parameter), described[parameter]
        if len(values) > 1 and not about.takes_several:
            raise DuplicateParameter(parameter=parameter, count=len(values))
        for value in values:
            if about.allowed and value not in about.allowed:
                quoted = excerpt(value, LONGEST_QUOTE)
                message = f"Invalid enum value {quoted!r}.{one_of(about.allowed)}"
                mistake = {"message": message, "key": parameter, "source": "query"}
                raise ValidationException(
                    f"The query parameter {parameter!r} has an invalid value.", extra=[mistake]
                )


def _described(
    connection: ASGIConnection[Any, Any, Any, Any],
) -> dict[str, DescribedParameter] | None:
    """Return the parameters of the route, or None if the OpenAPI document does not describe it."""
    document = connection.app.openapi_schema
    path = (document.paths or {}).get(connection.scope["path_template"])
    operation = getattr(path, str(connection.scope.get("method")).lower(), None)
    if operation is None:
        return None
    return {
        each.name: DescribedParameter(
            _is_list(each.schema), allowed_in_query(each.schema, document)
        )
        for each in operation.parameters or ()
        if each.param_in == "query"
    }


def _is_list(schema: object) -> bool:
    """Whether a parameter may take several values."""
    if not isinstance(schema, Schema):
        return False
    return schema.type == OpenAPIType.ARRAY or any(map(_is_list, schema.one_of or ()))
