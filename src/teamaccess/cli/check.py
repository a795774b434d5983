"""`teamaccess check`: may somebody do something, as the engine says it."""

from typing import Annotated

import typer

from teamaccess.cli.connected import AsJson, connected, tell
from teamaccess.engine import at_least
from teamaccess.errors import Invalid
from teamaccess.relationships import InvalidRelationship, ObjectReference
from teamaccess.relationships import organization as organization_object
from teamaccess.relationships import user as user_object
from teamaccess.service import Service
from teamaccess.users.find import find_user

app = typer.Typer(add_completion=False)

DENIED = 1


class UnknownAction(Invalid):
    """There is no action {action} to check on {resource}. The actions there are: {actions}."""


class OnlyOnTheObject(Invalid):
    """{action} is never for whoever created the object, so it is decided on the object alone: name it, as in `{example}`."""  # noqa: E501 - a sentence is one line


class InvalidResource(Invalid):
    """{resource} is no resource: write type:organization/id, as in webhook:acme/wh_1."""


@app.command()
def check(
    organization: Annotated[str, typer.Argument(help="The organization's id.")],
    user: Annotated[str, typer.Argument(help="The user's id or e-mail address.")],
    action: Annotated[str, typer.Argument(help="An action of the catalog, or of the resource.")],
    resource: Annotated[str | None, typer.Argument(help="type:organization/id.")] = None,
    at: Annotated[str | None, typer.Option(help="A ZedToken to be at least as fresh as.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say whether a user may do something. Exits with 0 for yes and with 1 for no.

    Fully consistent, unless a ZedToken is given: the answer includes every change in force by now.
    """

    async def ask(service: Service) -> bool:
        on, permission = _asked(service, organization, action, resource)
        id = user
        if "@" in user:
            async with service.reads() as session:
                id = (await find_user(session, user)).id
        return await service.engine.check(on, permission, user_object(id), at_least(at))

    allowed = connected(ask)
    tell(as_json, "yes" if allowed else "no", allowed=allowed)
    raise typer.Exit(0 if allowed else DENIED)


def _asked(
    service: Service, organization: str, action: str, resource: str | None
) -> tuple[ObjectReference, str]:
    """Return the object and the permission to ask about."""
    try:
        on = ObjectReference.parse(resource) if resource else organization_object(organization)
    except InvalidRelationship:
        raise InvalidResource(resource=repr(resource or organization)) from None
    if resource is None:
        actions = service.catalog.actions
        if action in actions and actions[action].four_eyes:
            raise OnlyOnTheObject(action=action, example=f"transfer:{organization}/<id>#authorize")
        known = [each.id for each in actions.values() if not each.four_eyes]
    else:
        kind = service.catalog.types.get(on.type)
        known = list(kind.actions) if kind else []
        if not on.id.startswith(f"{organization}/"):
            raise InvalidResource(resource=repr(resource))
    if action not in known:
        raise UnknownAction(action=repr(action), resource=on, actions=known)
    return on, action
