"""What commands share that speak to a running stack."""

import getpass
import secrets
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import msgspec
import typer
from sqlalchemy.exc import SQLAlchemyError

from teamaccess import ledger
from teamaccess.changes import Receipt
from teamaccess.cli.terminal import echo
from teamaccess.common import logs, process
from teamaccess.common.errors import NotFound, Unavailable
from teamaccess.common.settings import Settings
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


class NoSuchOrganization(NotFound):
    """There is no such organization. The API's sentence is vaguer, because it hides other tenants."""

    code = "unknown_organization"
    message = "There is no organization {organization}."


HIGHEST_PORT = 65535

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def connected(use: Callable[[Service], Awaitable[Result]]) -> Result:
    """Run something on the stack that the settings name; raises StackNotFound without any.

    What is hidden from users is no secret here: raises UnknownOrganization in plain words.
    """

    async def run() -> Result:
        async with open_service(Settings.discover()) as service:
            return await use(service)

    logs.log_to_stderr()
    try:
        return process.run_to_end(run())
    except ledger.UnknownOrganization as unknown:
        raise NoSuchOrganization(**unknown.facts) from unknown
    except (OSError, SQLAlchemyError) as cause:
        raise DatabaseUnreachable(cause=getattr(cause, "orig", cause)) from cause


def operator() -> Attribution:
    """Return who runs this command, as the ledger and the events name them."""
    name = "".join(c for c in getpass.getuser() if c.isalnum() or c in "._-")
    return Attribution(f"operator:{name or 'unknown'}", Channel.OPERATOR, secrets.token_hex(12))


def tell(as_json: bool, sentence: str, **facts: Any) -> None:
    """Print the sentence, or the facts as JSON."""
    echo(msgspec.json.encode(facts).decode() if as_json else sentence)


def progress_of(receipts: list[Receipt]) -> tuple[str, dict[str, Any]]:
    """Return how far a change has come, as a sentence and as facts."""
    facts = {
        "changes": [f"{each.organization}:{each.position}" for each in receipts if each.position],
        "pending": any(each.pending for each in receipts),
        "zed_token": next((each.zed_token for each in receipts if each.zed_token), None),
    }
    if facts["pending"]:
        return "The permission engine has not confirmed it yet; it will be brought in.", facts
    return "It is in force.", facts
