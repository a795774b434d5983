"""`teamaccess check`: ask SpiceDB whether a user may do something."""

from typing import Annotated

import typer

from teamaccess.audit.resolve_user import resolve_user
from teamaccess.cli.with_service import AsJson, UserArgument, print_result, with_service
from teamaccess.common.errors import Invalid
from teamaccess.directory.organizations.find import get_organization
from teamaccess.directory.resources.questions import question_about
from teamaccess.engine import EngineRefused, EngineUnavailable, at_least_as_fresh
from teamaccess.relationships import user as user_object
from teamaccess.service import Service
from teamaccess.storage import OrganizationId

app = typer.Typer(add_completion=False)

DENIED = 1


class NoZedToken(Invalid):
    """`--at` has not the form of a ZedToken."""

    message = "{token!r} is not a ZedToken. Copy one from a change or from SpiceDB's answer."


@app.command()
def check(
    organization: Annotated[str, typer.Argument(help="The organization's id.")],
    user: UserArgument,
    action: Annotated[str, typer.Argument(help="An action of the catalog, or of the resource.")],
    resource: Annotated[
        str | None, typer.Argument(help="An object as type:id, such as webhook:wh_1.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(help="A ZedToken. The answer is at least as fresh as it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say whether a user may do something.

    Exits with 0 for yes, with 1 for no, and with 2 if the check could not be made: the organization,
    the user or the action does not exist, or a server does not answer.

    Without --at the check is fully consistent: the answer includes every change that is in force.
    """

    async def ask(service: Service) -> bool:
        id = OrganizationId(organization)
        async with service.reads() as session:
            await get_organization(session, id)
            user_id = await resolve_user(session, id, user)
        on, permission = question_about(service.catalog, id, action, resource)
        try:
            return await service.engine.check(
                on, permission, user_object(user_id), at_least_as_fresh(at)
            )
        except EngineUnavailable as failed:
            cause = failed.__cause__
            if (
                at is not None
                and isinstance(cause, EngineRefused)
                and cause.reason == "INVALID_ARGUMENT"
            ):
                raise NoZedToken(token=at) from failed
            raise

    allowed = with_service(ask)
    print_result(as_json, "yes" if allowed else "no", allowed=allowed)
    raise typer.Exit(0 if allowed else DENIED)
