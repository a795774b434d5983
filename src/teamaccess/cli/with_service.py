"""Run a command's work on the deployment's service, and print its result."""

import secrets
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import msgspec
import typer
from sqlalchemy.exc import SQLAlchemyError

from teamaccess import ledger
from teamaccess.changes import Receipt
from teamaccess.cli.operator_name import operator_name
from teamaccess.cli.terminal import echo
from teamaccess.common import logs, process
from teamaccess.common.configuration.settings import Settings
from teamaccess.common.errors import NotFound, Unavailable
from teamaccess.common.postgres.connect import sqlstate
from teamaccess.common.postgres.outages import is_outage, lacks_tables
from teamaccess.ledger import Attribution
from teamaccess.service import Service, open_service
from teamaccess.storage import Channel

Result = TypeVar("Result")


class DatabaseUnreachable(Unavailable):
    """The command cannot connect to PostgreSQL."""

    message = (
        "PostgreSQL does not answer ({cause}). Check that it runs, and check "
        "TEAMACCESS_DATABASE_URL."
    )


class DatabaseRefuses(DatabaseUnreachable):
    """PostgreSQL answers with an error, such as a wrong password, and the command cannot go on."""

    code = "database_unreachable"
    message = (
        "PostgreSQL answers with an error ({cause}). Correct what it names, or "
        "TEAMACCESS_DATABASE_URL."
    )


class NotMigrated(Unavailable):
    """The database does not have the tables of this version."""

    message = "The tables are not those of this version ({cause}). Run `teamaccess migrate`."


class NoSuchOrganization(NotFound):
    """There is no such organization. The API's message is vaguer, because it hides other tenants."""

    code = "unknown_organization"
    message = "There is no organization {organization}."


HIGHEST_PORT = 65535

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
NAMES_A_USER = (
    "A user's id, e-mail address or external id. `external:` before it names an external id only."
)
UserArgument = Annotated[str, typer.Argument(help=NAMES_A_USER)]


def with_service(use: Callable[[Service], Awaitable[Result]]) -> Result:
    """Run `use` with the service that the settings describe, and return its result.

    Raises StackNotFound without settings, and DatabaseUnreachable. UnknownOrganization becomes
    NoSuchOrganization: operators may learn whether an organization exists, API callers may not.
    """

    async def run() -> Result:
        async with open_service(Settings.discover()) as service:
            return await use(service)

    logs.log_to_stderr()
    try:
        return process.run_to_end(run())
    except ledger.UnknownOrganization as unknown:
        raise NoSuchOrganization(**unknown.facts) from unknown
    except (ConnectionError, SQLAlchemyError) as cause:
        driver_error = getattr(cause, "orig", cause)
        if is_outage(cause):
            if sqlstate(cause) is not None:
                raise DatabaseRefuses(cause=driver_error) from cause
            raise DatabaseUnreachable(cause=driver_error) from cause
        if lacks_tables(cause):
            raise NotMigrated(cause=driver_error) from cause
        raise


def operator_attribution() -> Attribution:
    """Return the person who runs this command, as the ledger and the events record them."""
    return Attribution(f"operator:{operator_name()}", Channel.OPERATOR, secrets.token_hex(12))


def print_result(as_json: bool, sentence: str, **facts: Any) -> None:
    """Print the sentence, or the facts as JSON."""
    echo(msgspec.json.encode(facts).decode() if as_json else sentence)


def progress_of(receipts: list[Receipt]) -> tuple[str, dict[str, Any]]:
    """Return the progress of a change, as a sentence and as facts."""
    facts = {
        "changes": [f"{each.organization}:{each.position}" for each in receipts if each.position],
        "pending": any(each.pending for each in receipts),
        "zed_token": next((each.zed_token for each in receipts if each.zed_token), None),
    }
    if facts["pending"]:
        return "SpiceDB has not confirmed it yet. The workers will deliver it.", facts
    return "It is in force.", facts
