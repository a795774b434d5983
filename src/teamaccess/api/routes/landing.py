"""Where an invitation's link leads. Reading it changes nothing: programs follow links, too."""

from litestar import MediaType, get

from teamaccess.api.parameters import TheService

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


routes = [explain]
