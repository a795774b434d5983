"""`teamaccess serve`: the API."""

import socket
from contextlib import suppress
from typing import Annotated

import typer
import uvicorn

from teamaccess.api import create_app
from teamaccess.cli.connected import HIGHEST_PORT
from teamaccess.cli.refusals import COULD_NOT
from teamaccess.errors import Conflict
from teamaccess.process import collect_seldom
from teamaccess.settings import Settings

app = typer.Typer(add_completion=False)

KEPT_SECONDS = 75
"""How long an idle connection stays open: longer than proxies and clients keep theirs (60 s is usual),
so that none of them sends a request at the moment at which it is closed here."""


class CannotListen(Conflict):
    """{host} port {port} cannot be listened on ({reason}): end the program that has it, or choose \
    another one with --host and --port."""


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(min=0, max=HIGHEST_PORT, help="The port; TEAMACCESS_PORT or 8000 if unset."),
    ] = None,
) -> None:
    """Serve the API, with the settings in TEAMACCESS_*."""
    settings = Settings.discover()
    config = uvicorn.Config(
        create_app(settings),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEPT_SECONDS,
    )
    server = uvicorn.Server(config)
    collect_seldom()
    with (
        _listening(host, port if port is not None else settings.port) as listening,
        suppress(KeyboardInterrupt),
    ):
        server.run([listening])
    if not server.started:
        raise typer.Exit(COULD_NOT)


def _listening(host: str, port: int) -> socket.socket:
    """Return the socket to serve on; raises CannotListen."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]
        raise CannotListen(host=host, port=port, reason=reason) from None
