"""What stands at the root: where everything else is told."""

from litestar import get


@get("/", operation_id="get_service_description")
async def show_where() -> dict[str, str]:
    """Return where this interface is described, and where its health is told."""
    return {
        "service": "teamaccess",
        "description": "/schema",
        "access_model": "/v1/catalog",
        "health": "/readyz",
    }


routes = [show_where]
