"""`teamaccess serve`: the API."""

from typing import Annotated

import typer
import uvicorn

from teamaccess.api import create_app
from teamaccess.settings import Settings

app = typer.Typer(add_completion=False)

KEPT_SECONDS = 75
"""How long an idle connection stays open: longer than proxies and clients keep theirs (60 s is usual),
so that none of them sends a request at the moment at which it is closed here."""


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(help="The port; TEAMACCESS_PORT or 8000 if unset.")
    ] = None,
) -> None:
    """Serve the API, with the settings in TEAMACCESS_*."""
    settings = Settings.discover()
    uvicorn.run(
        create_app(settings),
        host=host,
        port=port if port is not None else settings.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEPT_SECONDS,
    )
