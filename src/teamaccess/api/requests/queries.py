"""Refuse query parameters that the route does not have. They are typing mistakes."""

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.openapi.spec import OpenAPIType, Schema

from teamaccess.common.errors import Invalid

LONGEST_QUOTE = 100
"""How many characters of an unknown name the error repeats."""


class UnknownParameter(Invalid):
    """The route does not support the query parameter.

    Ignoring a misspelt filter would answer too much.
    """

    message = "Unknown query parameter {parameter!r}. Supported: {parameters}."


class DuplicateParameter(Invalid):
    """A query parameter that takes one value is given more than once."""

    message = "The query parameter {parameter!r} is given {count} times. Give it once."


def refuse_unknown_parameters(
    connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler
) -> None:
    """Raise UnknownParameter for a parameter that the route's OpenAPI description does not have.

    Litestar ignores such a parameter, so a misspelt filter or cursor would return the whole list. A route
    without a description takes any parameter.

    Raises DuplicateParameter for several values of a parameter that takes one.
    """
    query = connection.query_params
    if not query or (described := _described(connection)) is None:
        return
    for parameter in query:
        if parameter not in described:
            raise UnknownParameter(
                parameter=parameter[:LONGEST_QUOTE], parameters=list(described) or ["none"]
            )
        if (count := len(query.getall(parameter))) > 1 and not described[parameter]:
            raise DuplicateParameter(parameter=parameter, count=count)


def _described(connection: ASGIConnection[Any, Any, Any, Any]) -> dict[str, bool] | None:
    """Return the route's parameters, and for each whether it takes several values."""
    paths = connection.app.openapi_schema.paths or {}
    path = paths.get(connection.scope["path_template"])
    operation = getattr(path, str(connection.scope.get("method")).lower(), None)
    if operation is None:
        return None
    return {
        each.name: _is_list(each.schema)
        for each in operation.parameters or ()
        if each.param_in == "query"
    }


def _is_list(schema: object) -> bool:
    """Whether a parameter may take several values."""
    if not isinstance(schema, Schema):
        return False
    return schema.type == OpenAPIType.ARRAY or any(map(_is_list, schema.one_of or ()))
