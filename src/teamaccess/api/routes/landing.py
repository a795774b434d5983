"""The pages that people reach without a token: the root, and where an invitation leads."""

from litestar import MediaType, get

from teamaccess.api.requests.parameters import TheService

PAGE = """\
This link holds an invitation. Nothing has happened yet: opening a link accepts nothing.

To accept it, send what follows `token=` in its address:

  curl {public_url}/v1/invitations/accept \\
    -H "Content-Type: application/json" \\
    -d '{{"token": "...", "name": "your name"}}'

If there is an account for the invited address, sign in first and send its access token along.
"""


@get("/invitations/accept", media_type=MediaType.TEXT, include_in_schema=False)
async def explain(service: TheService) -> str:
    """Return how to accept, without repeating the secret in the address."""
    return PAGE.format(public_url=service.settings.public_url)


@get("/", operation_id="get_service_description")
async def show_where() -> dict[str, str]:
    """Return where this interface is described, and where its health is told."""
    return {
        "service": "teamaccess",
        "description": "/schema",
        "access_model": "/v1/catalog",
        "health": "/readyz",
    }


routes = [explain, show_where]
