"""`teamaccess dev`: everything on this machine."""

import json
import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

from teamaccess.catalog import load_catalog
from teamaccess.cli.connected import HIGHEST_PORT
from teamaccess.cli.terminal import echo
from teamaccess.local.dev import Options, Told, everything
from teamaccess.local.supervisor import StopRequested

app = typer.Typer(add_completion=False)

WELCOME = """\
teamaccess runs, with the catalog {catalog}. Everything is kept in {home}

  API            {api}
  SpiceDB        {endpoint}
  its key        in {home}/dev.json
  Mail           {home}/mail
  Administrator  {email} of {organization}, by this token for 12 hours:

TOKEN={token}

Try, in another terminal and with that TOKEN:

  curl -H "Authorization: Bearer $TOKEN" {api}/v1/organizations/{organization}/permissions

  curl -H "Authorization: Bearer $TOKEN" {api}/v1/organizations/{organization}/invitations \\
    -H "Content-Type: application/json" \\
    -d '{{"email": "{guest}", "roles": ["{role}"]}}'

  {command} check {organization} {email} {action}

Ctrl-C stops everything; the next start finds all data again.
"""


@app.command()
def dev(
    home: Annotated[
        Path, typer.Option(help="Where data, logs and mail are kept.", envvar="TEAMACCESS_HOME")
    ] = Path(".teamaccess"),
    port: Annotated[
        int,
        typer.Option(
            min=0,
            max=HIGHEST_PORT,
            help="The API's port; 0 takes a free one.",
            envvar="TEAMACCESS_PORT",
        ),
    ] = 8000,
    spicedb_port: Annotated[
        int, typer.Option(min=0, max=HIGHEST_PORT, help="SpiceDB's; 0 takes a free one.")
    ] = 50051,
    catalog: Annotated[
        str | None,
        typer.Option(
            help="The access model of a new home; fintoc if unset.", envvar="TEAMACCESS_CATALOG"
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Erase what the home keeps.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what dev.json says.")] = False,
) -> None:
    """Run PostgreSQL, SpiceDB and the API on this machine, with a demo organization."""
    options = Options(home, port, spicedb_port, catalog, fresh)
    try:
        with everything(options) as (stack, told):
            echo(json.dumps(told) if as_json else welcome(told, stack.home.path))
            stack.supervisor.watch()
    except StopRequested:
        pass


def welcome(told: Told, home: Path) -> str:
    """Return commands to try. They work after every start, and leave the tutorial's Bob uninvited."""
    catalog = load_catalog(told["catalog"])
    grantable = [role.id for role in catalog.roles.values() if role.granted_by == "dashboard"]
    return WELCOME.format(
        **told["administrator"],
        endpoint=told["spicedb"]["endpoint"],
        api=told["api"],
        catalog=catalog.name,
        home=home,
        organization=told["organization"],
        guest=f"guest-{secrets.token_hex(2)}@{told['organization']}.example",
        role=grantable[-1],
        action=catalog.guards["invite"],
        command=_command(home),
    )


def _command(home: Path) -> str:
    """How this command is called from where we are."""
    called = Path(sys.argv[0])
    teamaccess = str(called) if called.name == "teamaccess" else "teamaccess"
    usual = Path(".teamaccess").resolve()
    return teamaccess if home == usual else f"TEAMACCESS_HOME={home} {teamaccess}"
