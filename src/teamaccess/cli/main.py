"""The command `teamaccess`: which subcommands there are, and its options of its own."""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from teamaccess.cli.refusals import EXIT_FAILED, print_refusal
from teamaccess.cli.terminal import echo

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
    "audit": "audit",
    "plan": "plan",
    "reconcile": "reconcile",
}
"""Each is the `app` (a Typer without completion) of the module here that is named beside it."""


class Subcommands(TyperGroup):
    """Imports a command when it is asked for, so that none waits for what another one needs."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            # the names alone, of which Typer suggests the one that was meant
            self.commands = {name: TyperCommand(name) for name in COMMANDS}
            return None
        command = typer.main.get_command(
            import_module(f"teamaccess.cli.commands.{COMMANDS[cmd_name]}").app
        )
        command.name = cmd_name
        return command

    def main(  # type: ignore[override]  # nobody calls it to go on afterwards
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **more: Any
    ) -> NoReturn:
        """Run the command and exit with its code; what it could not do is told here, and nowhere else."""
        words = sys.argv[1:] if args is None else list(args)
        try:
            code = super().main(words, prog_name, **{**more, "standalone_mode": False})
        except (
            Exception
        ) as refusal:  # a crash, too: it must not exit like a command that answers "no"
            print_refusal(refusal, as_json="--json" in words)
            sys.exit(EXIT_FAILED)
        sys.exit(code if isinstance(code, int) else 0)


app = typer.Typer(
    cls=Subcommands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _tell_version(asked: bool) -> None:
    if asked:
        echo(f"teamaccess {version('teamaccess')}")
        raise typer.Exit


@app.callback()
def teamaccess(
    asked: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_tell_version, is_eager=True),
    ] = False,
) -> None:
    """Team access for B2B products: organizations, members, roles and invitations."""
