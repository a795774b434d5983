"""Tables for people: whole on a terminal, whatever its width, and in a file."""

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from teamaccess.text import visible

WIDE = 240
"""Columns where there is no terminal that has a width."""


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; what does not fit into a line goes on in the next one."""
    table = Table()
    for name in head:
        table.add_column(Text(visible(name)), overflow="fold")
    for row in rows:
        table.add_row(*(Text(visible(cell)) for cell in row))  # which people wrote: no markup
    Console(width=None if sys.stdout.isatty() else WIDE).print(table)
