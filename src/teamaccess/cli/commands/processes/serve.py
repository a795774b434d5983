"""`teamaccess serve`: serve the API."""

import socket
from contextlib import suppress
from typing import Annotated

import typer

from teamaccess.api import create_app
from teamaccess.api.requests.receiving import LARGEST_BATCH
from teamaccess.api.server import ConnectionLimits, create_server
from teamaccess.cli.refusals import EXIT_FAILED
from teamaccess.cli.with_service import HIGHEST_PORT
from teamaccess.common.configuration.settings import Settings
from teamaccess.common.errors import Conflict, Invalid
from teamaccess.common.lookalikes import load_lookalikes
from teamaccess.common.process import tune_runtime

app = typer.Typer(add_completion=False)


class CannotListen(Conflict):
    """The server cannot listen on its address: another program has it, or it is not this machine's."""

    message = (
        "Can't listen on {host} port {port} ({reason}). Stop the program that uses it, or "
        "choose another address with --host and --port."
    )


class MailUndecided(Invalid):
    """The settings do not say how mails leave. Without a decision, no invitation would arrive."""

    message = (
        "Decide how mails leave. Set TEAMACCESS_SMTP_URL to smtp://user:password@host:port. "
        "Or set TEAMACCESS_MAIL: file writes mails into TEAMACCESS_HOME/mail, off sends none."
    )


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=HIGHEST_PORT, help="The port. The default is TEAMACCESS_PORT, or 8000."
        ),
    ] = None,
) -> None:
    """Serve the API, with the settings in the environment variables TEAMACCESS_*."""
    settings = Settings.discover()
    if settings.mail is None and settings.smtp_url is None:
        raise MailUndecided
    load_lookalikes()  # a package that is missing ends the command here, with the extra to install
    server = create_server(create_app(settings), ConnectionLimits.of(settings, LARGEST_BATCH))
    tune_runtime()
    with (
        _listening(host, port if port is not None else settings.port) as listening,
        suppress(KeyboardInterrupt),
    ):
        server.run([listening])
    if not server.started:
        raise typer.Exit(EXIT_FAILED)


def _listening(host: str, port: int) -> socket.socket:
    """Return the socket to serve on. Raises CannotListen."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]
        raise CannotListen(host=host, port=port, reason=reason) from None
