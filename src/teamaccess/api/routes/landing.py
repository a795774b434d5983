"""Pages for callers without a token: the root, and the page that an invitation's link opens."""

from litestar import MediaType, get

from teamaccess.api.requests.parameters import ServiceDependency

PAGE = """\
This link contains an invitation. You have not accepted it yet: opening the link changes nothing.

To accept it, send the token, which follows `token=` in this page's address:

  curl {public_url}/v1/invitations/accept \\
    -H "Content-Type: application/json" \\
    -d '{{"token": "...", "name": "your name"}}'

If you already have an account with the invited address, sign in first and send your access token too.
"""


@get("/invitations/accept", media_type=MediaType.TEXT, include_in_schema=False)
async def explain_acceptance(service: ServiceDependency) -> str:
    """Explain how to accept, without repeating the secret in the address."""
    return PAGE.format(public_url=service.settings.public_url)


@get("/", operation_id="get_service_description")
async def show_links() -> dict[str, str]:
    """Return the addresses of the API's description, the catalog and the health check."""
    return {
        "service": "teamaccess",
        "description": "/schema",
        "access_model": "/v1/catalog",
        "health": "/readyz",
    }


routes = [explain_acceptance, show_links]
