"""Print on a terminal, and read times from arguments."""

from datetime import UTC, datetime

import typer

from teamaccess.common.errors import Invalid
from teamaccess.common.text import escape_controls


def echo(text: str, *, err: bool = False, nl: bool = True, fg: str | None = None) -> None:
    """Print text without control characters: other people may have written parts of it."""
    typer.secho(escape_controls(text), err=err, nl=nl, fg=fg)


class NoSuchTime(Invalid):
    """An option takes a time, and its value is none."""

    message = "{at!r} is not a time. Write 2026-03-31 or 2026-03-31T23:59:59Z."


def time_of(text: str) -> datetime:
    """Return the time that the text gives, in UTC if it has no zone. Raises NoSuchTime."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError as wrong:
        raise NoSuchTime(at=text) from wrong
    return time if time.utcoffset() is not None else time.replace(tzinfo=UTC)
