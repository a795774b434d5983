"""`teamaccess serve`: the API."""

from typing import Annotated

import typer
import uvicorn

from teamaccess.api import create_app
from teamaccess.settings import Settings

app = typer.Typer(add_completion=False)


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
    )
