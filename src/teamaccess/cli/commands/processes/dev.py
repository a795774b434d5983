"""`teamaccess dev`: run everything on this machine."""

import json
import secrets
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from teamaccess.catalog import load_catalog
from teamaccess.cli.terminal import echo
from teamaccess.cli.with_service import HIGHEST_PORT
from teamaccess.common.configuration.settings import refuse_unknown_setting_names
from teamaccess.local.dev import DevInfo, DevOptions, run_everything
from teamaccess.local.supervisor import StopRequested

app = typer.Typer(add_completion=False)

WELCOME = """\
teamaccess is running with the catalog {catalog}. All data is in {home}

  API            {api}
  SpiceDB        {endpoint}, with the key in {home}/dev.json
  Mail           {home}/mail
  Administrator  {email} of {organization}. This token is valid for 12 hours:

TOKEN={token}

Set TOKEN in another terminal, and try:

  curl -H "Authorization: Bearer $TOKEN" {api}/v1/organizations/{organization}/permissions

  curl -H "Authorization: Bearer $TOKEN" {api}/v1/organizations/{organization}/invitations \\
    -H "Content-Type: application/json" \\
    -d '{{"email": "{guest}", "roles": ["{role}"]}}'

  {command} check {organization} {email} {action}

Ctrl-C stops everything. The next start has all data again.
"""


@app.command()
def dev(
    home: Annotated[
        Path, typer.Option(help="The folder for data, logs and mail.", envvar="TEAMACCESS_HOME")
    ] = Path(".teamaccess"),
    port: Annotated[
        int,
        typer.Option(
            min=0,
            max=HIGHEST_PORT,
            help="The API's port. 0 means any free port.",
            envvar="TEAMACCESS_PORT",
        ),
    ] = 8000,
    spicedb_port: Annotated[
        int, typer.Option(min=0, max=HIGHEST_PORT, help="SpiceDB's port. 0 means any free port.")
    ] = 50051,
    catalog: Annotated[
        str | None,
        typer.Option(
            help="The access model of a new folder: a name or a path. The default is fintoc.",
            envvar="TEAMACCESS_CATALOG",
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Erase the folder's data first.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the content of dev.json as one line.")
    ] = False,
) -> None:
    """Run PostgreSQL, SpiceDB and the API on this machine, with a demo organization."""
    refuse_unknown_setting_names()
    options = DevOptions(home, port, spicedb_port, catalog, fresh)
    try:
        with run_everything(options) as (stack, info):
            echo(json.dumps(info) if as_json else welcome(info, stack.home.path))
            stack.supervisor.watch()
    except StopRequested:
        pass


def welcome(info: DevInfo, home: Path) -> str:
    """Return the text with commands to try.

    They work after every start. They invite a random guest, so the tutorial can still invite Bob.
    """
    catalog = load_catalog(info["catalog"])
    grantable = [role.id for role in catalog.roles.values() if role.granted_by == "dashboard"]
    return WELCOME.format(
        **info["administrator"],
        endpoint=info["spicedb"]["endpoint"],
        api=info["api"],
        catalog=catalog.name,
        home=home,
        organization=info["organization"],
        guest=f"guest-{secrets.token_hex(2)}@{info['organization']}.example",
        role=grantable[-1],
        action=catalog.guards["invite"],
        command=_command(home),
    )


def _command(home: Path) -> str:
    """Return how to call `teamaccess` for this home from the current folder."""
    called = Path(sys.argv[0])
    teamaccess = shlex.quote(str(called)) if called.name == "teamaccess" else "teamaccess"
    default = Path(".teamaccess").resolve()
    return (
        teamaccess if home == default else f"TEAMACCESS_HOME={shlex.quote(str(home))} {teamaccess}"
    )
