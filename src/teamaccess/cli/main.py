"""The command `teamaccess`: which subcommands there are and how a refusal is told."""

import traceback
from importlib import import_module
from typing import Any

import typer
from click import ClickException
from typer.core import TyperGroup

from teamaccess.catalog import InvalidCatalog, UnknownCatalog
from teamaccess.errors import TeamaccessError
from teamaccess.relationships import InvalidRelationship

COMMANDS = {
    "dev": "dev",
    "serve": "serve",
    "worker": "worker",
    "migrate": "migrate",
    "schema": "schema",
    "token": "token",
    "operator": "operator",
    "check": "check",
    "import": "imports",
    "ledger": "ledger",
    "findings": "findings",
    "reconcile": "reconcile",
}
"""Each is the `app` (a Typer without completion) of the module here that is named beside it."""


COULD_NOT = 2
"""The exit code of what could not be done or asked; 1 is the "no" of a command that answers."""


class Subcommands(TyperGroup):
    """Imports a command when it is asked for, so that none waits for what another one needs."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        command = typer.main.get_command(import_module(f"teamaccess.cli.{COMMANDS[cmd_name]}").app)
        command.name = cmd_name
        return command

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (TeamaccessError, InvalidCatalog, UnknownCatalog, InvalidRelationship) as refusal:
            typer.secho(str(refusal), err=True, fg="red")
            raise typer.Exit(COULD_NOT) from refusal
        except (ClickException, typer.Exit, typer.Abort):
            raise
        except Exception as mistake:  # a crash must not exit like a command that answers "no"
            traceback.print_exc()
            raise typer.Exit(COULD_NOT) from mistake


app = typer.Typer(cls=Subcommands, no_args_is_help=True, pretty_exceptions_show_locals=False)


@app.callback()
def teamaccess() -> None:
    """Team access for B2B products: organizations, members, roles and invitations."""
