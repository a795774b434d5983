"""`teamaccess token`: issue access tokens."""

from datetime import timedelta
from typing import Annotated

import typer

from teamaccess.changes.events import record_alone
from teamaccess.changes.events.users import TokenIssued
from teamaccess.cli.with_service import (
    NAMES_A_USER,
    AsJson,
    operator_attribution,
    print_result,
    with_service,
)
from teamaccess.common.errors import Invalid
from teamaccess.directory.users.find import find_user
from teamaccess.directory.users.tokens import LONGEST_LIFE, Audience, issue_access_token
from teamaccess.service import Service

app = typer.Typer(add_completion=False, no_args_is_help=True)

LONGEST_HOURS = LONGEST_LIFE // timedelta(hours=1)


class NoTokenForAccount(Invalid):
    """`token issue` names a service account. It signs in with its own tokens only."""

    message = (
        "{account} is a service account and signs in with its own tokens. A member of "
        "{organization} creates one with POST /v1/organizations/{organization}/service-accounts/"
        "{account}/tokens."
    )


class UserOrOperator(Invalid):
    """`token issue` needs a user or an operator, and was given neither or both."""

    message = (
        "Name either a user, by id, e-mail address or external id, or an operator, with "
        "--operator NAME."
    )


@app.callback()
def commands() -> None:
    """Issue access tokens for the API."""


@app.command("issue")
def issue_token(
    user: Annotated[str | None, typer.Argument(help=NAMES_A_USER)] = None,
    operator_name: Annotated[
        str | None, typer.Option("--operator", help="An operator's name, instead of a user.")
    ] = None,
    hours: Annotated[
        int, typer.Option(min=1, max=LONGEST_HOURS, help="How many hours it is valid.")
    ] = 12,
    as_json: AsJson = False,
) -> None:
    """Print an access token. It is as good as a password, so keep it out of logs and shell history."""
    if (user is None) == (operator_name is None):
        raise UserOrOperator
    life = timedelta(hours=hours)

    async def make(service: Service) -> tuple[str, str]:
        audience: Audience
        subject: str
        if operator_name is not None:
            audience, subject = Audience.OPERATOR, operator_name
        else:
            async with service.reads() as session:
                found = await find_user(session, user or "")
            if found.service_account_of is not None:
                raise NoTokenForAccount(account=found.id, organization=found.service_account_of)
            audience, subject = Audience.USER, found.id
        now = await service.now()
        token = issue_access_token(service.keys, audience, subject, now, life)
        about = f"{'user' if operator_name is None else 'operator'}:{subject}"
        await record_alone(
            service.sessions, operator_attribution(), TokenIssued(hours=hours), about
        )
        return subject, token

    subject, token = with_service(make)
    print_result(as_json, token, subject=subject, token=token, expires_in_hours=hours)
