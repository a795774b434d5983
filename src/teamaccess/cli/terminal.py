"""Print on a terminal."""

import sys
from collections.abc import Iterable

import typer

from teamaccess.common.text import escape_controls
from teamaccess.views.tables import csv_file, rows_as_csv


def echo(text: str, *, err: bool = False, nl: bool = True, fg: str | None = None) -> None:
    """Print text without control characters: other people may have written parts of it."""
    # `file`, because Typer otherwise writes UTF-8 to a terminal that has only ASCII
    typer.secho(escape_controls(text), file=sys.stderr if err else sys.stdout, nl=nl, fg=fg)


def echo_csv(rows: Iterable[Iterable[str]]) -> None:
    """Print rows as CSV, in UTF-8 whatever the terminal's encoding is, so that every file is the same."""
    if sys.stdout.isatty():
        sys.stdout.writelines(rows_as_csv(rows))
        return
    sys.stdout.flush()
    sys.stdout.buffer.writelines(line.encode() for line in csv_file(rows))
    sys.stdout.buffer.flush()
