"""What commands print."""

import typer

from teamaccess.text import visible


def echo(text: str, *, err: bool = False, nl: bool = True, fg: str | None = None) -> None:
    """Print text that others may have written: nothing in it moves the cursor or changes colours."""
    typer.secho(visible(text), err=err, nl=nl, fg=fg)
