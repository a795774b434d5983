"""`teamaccess check`: may somebody do something, as the engine says it."""

from typing import Annotated

import typer

from teamaccess.cli.connected import AsJson, connected, tell
from teamaccess.engine import at_least
from teamaccess.models import OrganizationId
from teamaccess.relationships import user as user_object
from teamaccess.resources.questions import asked
from teamaccess.service import Service
from teamaccess.users.find import find_user

app = typer.Typer(add_completion=False)

DENIED = 1


@app.command()
def check(
    organization: Annotated[str, typer.Argument(help="The organization's id.")],
    user: Annotated[str, typer.Argument(help="The user's id or e-mail address.")],
    action: Annotated[str, typer.Argument(help="An action of the catalog, or of the resource.")],
    resource: Annotated[str | None, typer.Argument(help="type:id, as in webhook:wh_1.")] = None,
    at: Annotated[str | None, typer.Option(help="A ZedToken to be at least as fresh as.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say whether a user may do something. Exits with 0 for yes and with 1 for no.

    Fully consistent, unless a ZedToken is given: the answer includes every change in force by now.
    """

    async def ask(service: Service) -> bool:
        here = OrganizationId(organization)
        on, permission = asked(service.catalog, here, action, resource)
        id = user
        if "@" in user:
            async with service.reads() as session:
                id = (await find_user(session, user)).id
        return await service.engine.check(on, permission, user_object(id), at_least(at))

    allowed = connected(ask)
    tell(as_json, "yes" if allowed else "no", allowed=allowed)
    raise typer.Exit(0 if allowed else DENIED)
