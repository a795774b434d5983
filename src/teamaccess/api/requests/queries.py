"""Queries: a parameter that no route knows is a slip of the hand, and not a wish for everything."""

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.openapi.spec import OpenAPIType, Schema

from teamaccess.common.errors import Invalid

LONGEST_TOLD = 100
"""Characters of a made-up name that the refusal repeats."""


class UnknownParameter(Invalid):
    """The route does not support the query parameter.

    Ignoring a misspelt filter would answer too much.
    """

    message = "Unknown query parameter {parameter!r}. Supported: {parameters}."


class DuplicateParameter(Invalid):
    """A query parameter that takes one value is given more than once."""

    message = "The query parameter {parameter!r} is given {count} times. Give it once."


def refuse_unknown(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Raise UnknownParameter for one that the description of the route does not have.

    Litestar passes over it, so that a misspelt filter or cursor would answer with the whole list. What
    is not described at all takes what it is given. Raises DuplicateParameter where one value is expected.
    """
    given = connection.query_params
    if not given or (known := _described(connection)) is None:
        return
    for parameter in given:
        if parameter not in known:
            raise UnknownParameter(
                parameter=parameter[:LONGEST_TOLD], parameters=list(known) or ["none"]
            )
        if (count := len(given.getall(parameter))) > 1 and not known[parameter]:
            raise DuplicateParameter(parameter=parameter, count=count)


def _described(connection: ASGIConnection[Any, Any, Any, Any]) -> dict[str, bool] | None:
    """Return the parameters of the route, and of each whether it takes several values."""
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
    """Whether a parameter takes several values, perhaps among other things."""
    if not isinstance(schema, Schema):
        return False
    return schema.type == OpenAPIType.ARRAY or any(map(_is_list, schema.one_of or ()))
