"""Tables for terminals, and CSV whose cells cannot become formulas."""

import csv
import io
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from teamaccess.common.text import escape_controls, escape_unencodable

WIDE = 240
"""Columns of a table that is not printed to a terminal."""


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table. Long cells continue in the next line."""
    console = Console(width=None if sys.stdout.isatty() else WIDE)

    def cell(text: str) -> Text:
        """Return plain text: users wrote it, so markup is not interpreted."""
        return Text(escape_unencodable(escape_controls(text), console.encoding))

    table = Table()
    for name in head:
        table.add_column(cell(name), overflow="fold")
    for row in rows:
        table.add_row(*map(cell, row))
    console.print(table)


BYTE_ORDER_MARK = "\ufeff"
"""The first character of a file. Without it, spreadsheets take UTF-8 for another encoding."""
FORMULA = ("=", "+", "-", "@")
"""The first characters of a cell that a spreadsheet takes for a formula."""
SEPARATORS = re.compile(r"(?<=[;,|\t\r\n\v\f\x85\u2028\u2029\uff1b\uff0c\uff5c])")
"""Matches after each character that a spreadsheet may be set to treat as a separator of cells."""


def rows_as_csv(rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """Yield each row as a line of CSV (RFC 4180). Formulas in cells get a quote before them."""
    for row in rows:
        line = io.StringIO()
        csv.writer(line).writerow([_safe(cell) for cell in row])
        yield line.getvalue()


def csv_file(rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """Yield the text of a CSV file, which begins with a byte order mark."""
    yield BYTE_ORDER_MARK
    yield from rows_as_csv(rows)


def _safe(cell: str) -> str:
    """Quote formulas: at the cell's beginning, and after each character that can separate cells."""
    if cell.isalnum():
        return cell
    safe = "".join(f"'{part}" if _is_formula(part) else part for part in SEPARATORS.split(cell))
    return f"'{safe}" if cell.startswith(("\t", "\r", "\n")) else safe


def _is_formula(part: str) -> bool:
    """Whether a part is a formula, even if it starts with skipped or full-width characters."""
    begins = next(
        (c for c in part if unicodedata.category(c)[0] not in "CZ" and c not in "'\""), ""
    )
    return unicodedata.normalize("NFKC", begins).startswith(FORMULA)
