"""Tables for terminals, and CSV whose cells cannot become formulas."""

import csv
import io
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from teamaccess.common.text import escape_controls

WIDE = 240
"""Columns where there is no terminal that has a width."""


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; what does not fit into a line goes on in the next one."""
    table = Table()
    for name in head:
        table.add_column(Text(escape_controls(name)), overflow="fold")
    for row in rows:
        table.add_row(
            *(Text(escape_controls(cell)) for cell in row)
        )  # which people wrote: no markup
    Console(width=None if sys.stdout.isatty() else WIDE).print(table)


FORMULA = ("=", "+", "-", "@")
"""What a cell begins with that spreadsheets take for a formula."""


def rows_as_csv(rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """Yield each row as a line of CSV (RFC 4180); what looks like a formula begins with a quote."""
    for row in rows:
        line = io.StringIO()
        csv.writer(line).writerow([_safe(cell) for cell in row])
        yield line.getvalue()


def _safe(cell: str) -> str:
    """Quote what is a formula, also behind what a spreadsheet skips, or in a wider spelling."""
    begins = "".join(c for c in cell if unicodedata.category(c)[0] not in "CZ")[:1]
    formula = unicodedata.normalize("NFKC", begins).startswith(FORMULA)
    return f"'{cell}" if formula or cell.startswith(("\t", "\r", "\n")) else cell
