"""How commands read and write on a terminal."""

from datetime import UTC, datetime

import typer

from teamaccess.common.errors import Invalid
from teamaccess.common.text import escape_controls


def echo(text: str, *, err: bool = False, nl: bool = True, fg: str | None = None) -> None:
    """Print text that others may have written: nothing in it moves the cursor or changes colours."""
    typer.secho(escape_controls(text), err=err, nl=nl, fg=fg)


class NoSuchTime(Invalid):
    """An option takes a time, and its value is none."""

    message = "{at!r} is not a time. Write 2026-03-31 or 2026-03-31T23:59:59Z."


def time_of(text: str) -> datetime:
    """Return the time that is written; in UTC if it says no zone. Raises NoSuchTime."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError as wrong:
        raise NoSuchTime(at=text) from wrong
    return time if time.utcoffset() is not None else time.replace(tzinfo=UTC)
