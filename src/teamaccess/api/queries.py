"""Queries: a parameter that no route knows is a slip of the hand, and not a wish for everything."""

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from teamaccess.errors import Invalid


class UnknownParameter(Invalid):
    """{parameter!r} is no query parameter here; those that are: {parameters}."""


def refuse_unknown(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Raise UnknownParameter for one that the description of the route does not have.

    Litestar passes over it, so that a misspelt filter or cursor would answer with the whole list. What
    is not described at all takes what it is given.
    """
    if not connection.query_params or (known := _described(connection)) is None:
        return
    for parameter in connection.query_params:
        if parameter not in known:
            raise UnknownParameter(parameter=parameter, parameters=known or ["none"])


def _described(connection: ASGIConnection[Any, Any, Any, Any]) -> list[str] | None:
    paths = connection.app.openapi_schema.paths or {}
    path = paths.get(connection.scope["path_template"])
    operation = getattr(path, str(connection.scope.get("method")).lower(), None)
    if operation is None:
        return None
    return [each.name for each in operation.parameters or () if each.param_in == "query"]
