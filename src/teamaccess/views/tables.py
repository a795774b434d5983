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
"""Columns of a table that is not printed to a terminal."""


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table. Long cells continue in the next line."""
    table = Table()
    for name in head:
        table.add_column(Text(escape_controls(name)), overflow="fold")
    for row in rows:
        table.add_row(
            *(Text(escape_controls(cell)) for cell in row)
        )  # Text, because users wrote it: markup is not interpreted
    Console(width=None if sys.stdout.isatty() else WIDE).print(table)


FORMULA = ("=", "+", "-", "@")
"""The first characters of a cell that a spreadsheet takes for a formula."""


def rows_as_csv(rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """Yield each row as a line of CSV (RFC 4180). Cells that look like a formula begin with a quote."""
    for row in rows:
        line = io.StringIO()
        csv.writer(line).writerow([_safe(cell) for cell in row])
        yield line.getvalue()


def _safe(cell: str) -> str:
    """Quote a formula, also after characters that a spreadsheet skips, and in full-width characters."""
    begins = "".join(c for c in cell if unicodedata.category(c)[0] not in "CZ")[:1]
    formula = unicodedata.normalize("NFKC", begins).startswith(FORMULA)
    return f"'{cell}" if formula or cell.startswith(("\t", "\r", "\n")) else cell
