"""Tables for spreadsheets: CSV that runs nothing when it is opened."""

import csv
import io
import unicodedata
from collections.abc import Iterable, Iterator

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
