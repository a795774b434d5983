"""`teamaccess migrate`: create or upgrade the tables."""

from typing import Annotated

import typer

from teamaccess.cli.with_service import AsJson, print_result
from teamaccess.common.configuration.settings import Settings
from teamaccess.common.errors import Invalid, Unavailable
from teamaccess.common.postgres.address import sqlalchemy_url
from teamaccess.common.postgres.connect import PostgresUnreachable
from teamaccess.storage.migrations import upgrade

app = typer.Typer(add_completion=False)


class OwnerUnknown(Invalid):
    """Migrations need the owner of the tables, and the settings do not name its database URL."""

    message = "Migrations run as the owner of the tables. Set TEAMACCESS_OWNER_DATABASE_URL."


class OwnerCannotConnect(Unavailable):
    """The owner of the tables cannot connect to PostgreSQL."""

    message = (
        "PostgreSQL does not answer the owner of the tables ({cause}). Check that it runs, and check "
        "TEAMACCESS_OWNER_DATABASE_URL."
    )


class OwnerRefused(OwnerCannotConnect):
    """PostgreSQL answers the owner of the tables with an error, such as a wrong password."""

    code = "owner_cannot_connect"
    message = (
        "PostgreSQL answers the owner of the tables with an error ({cause}). Correct what it names, or "
        "TEAMACCESS_OWNER_DATABASE_URL."
    )


@app.command()
def migrate(
    revision: Annotated[str, typer.Option(help="The revision to upgrade to.")] = "head",
    as_json: AsJson = False,
) -> None:
    """Create or upgrade the tables of this version, as their owner."""
    settings = Settings.discover()
    if settings.owner_database_url is None:
        raise OwnerUnknown
    try:
        upgrade(sqlalchemy_url(settings.owner_database_url), revision)
    except PostgresUnreachable as cause:
        if cause.sqlstate is not None:
            raise OwnerRefused(cause=cause) from cause
        raise OwnerCannotConnect(cause=cause) from cause
    print_result(as_json, f"The database is at revision {revision}.", revision=revision)
