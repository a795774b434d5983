"""The command `teamaccess`: its subcommands and its own options."""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any, NoReturn

import typer
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup

from teamaccess.cli.refusals import EXIT_FAILED, print_refusal, refuse_broken_text
from teamaccess.cli.repeated_options import refuse_repeated_options
from teamaccess.cli.terminal import echo
from teamaccess.common.errors import Conflict
from teamaccess.common.formats.streams import harden_streams

COMMANDS = {
    "dev": "processes.dev",
    "serve": "processes.serve",
    "worker": "processes.worker",
    "migrate": "processes.migrate",
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
"""Each subcommand with its module in `commands`, whose `app` is a Typer without completion."""


class Subcommands(TyperGroup):
    """Imports a command's module when it is called, so no command waits for another one's imports."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            # Typer suggests similar names from these
            self.commands = {name: TyperCommand(name) for name in COMMANDS}
            return None
        try:
            command = typer.main.get_command(_module(cmd_name).app)
        except MissingExtra as missing:  # the list of commands and its help still work
            return _refusing(cmd_name, missing)
        command.name = cmd_name
        for each in (command, *getattr(command, "commands", {}).values()):
            each.help = _unwrapped(each.help or "")
            refuse_repeated_options(each)
        return command

    def main(  # type: ignore[override]  # it always exits
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **more: Any
    ) -> NoReturn:
        """Run the command and exit with its code. This is the one place that prints errors."""
        harden_streams()
        words = sys.argv[1:] if args is None else list(args)
        try:
            refuse_broken_text(words)
            code = super().main(words, prog_name, **{**more, "standalone_mode": False})
            sys.stdout.flush()
        except ModuleNotFoundError as missing:  # a package that is imported only when it is used
            print_refusal(_missing_extra(words, missing), as_json="--json" in words)
            sys.exit(EXIT_FAILED)
        except Exception as refusal:  # also after a crash, which must not exit like the answer "no"
            print_refusal(refusal, as_json="--json" in words)
            sys.exit(EXIT_FAILED)
        sys.exit(code if isinstance(code, int) else 0)


class MissingExtra(Conflict):
    """A command needs packages that this installation does not have."""

    message = (
        "`teamaccess {command}` needs packages that are not installed ({module}). Install them with "
        "pip install 'teamaccess[{extra}]'."
    )


def _module(command: str) -> Any:
    """Import and return a command's module. Raises MissingExtra."""
    try:
        return import_module(f"teamaccess.cli.commands.{COMMANDS[command]}")
    except ModuleNotFoundError as missing:
        refusal = _missing_extra([command], missing)
        if refusal is missing:
            raise
        raise refusal from None


def _missing_extra(words: Sequence[str], missing: ModuleNotFoundError) -> Exception:
    """Return the refusal that names the extra to install, or the error itself if it is our mistake."""
    name = missing.name or ""
    if name.partition(".")[0] in ("", "teamaccess"):
        return missing
    command = next((word for word in words if word in COMMANDS), "")
    extra = "embedded" if command == "dev" else "server"
    return MissingExtra(command=command, module=name, extra=extra)


def _refusing(name: str, missing: MissingExtra) -> TyperCommand:
    """Return a command that accepts any arguments, and refuses with the extra to install."""

    def refuse() -> NoReturn:
        raise missing

    anything = {"ignore_unknown_options": True, "allow_extra_args": True}
    # without the escape, rich would take `[embedded]` for its markup
    return TyperCommand(name, callback=refuse, help=escape(str(missing)), context_settings=anything)


def _unwrapped(help: str) -> str:
    """Return the help with each paragraph on one line, so that the terminal's width wraps it."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in help.split("\n\n"))


app = typer.Typer(
    cls=Subcommands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(requested: bool) -> None:
    if requested:
        echo(f"teamaccess {version('teamaccess')}")
        raise typer.Exit


@app.callback()
def teamaccess(
    version_requested: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Team access for B2B products: organizations, members, invitations, roles and resources."""
