"""Figures as tables for people and as JSON for programs."""

import json
from dataclasses import dataclass

from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table as Drawn

Row = dict[str, str | float]
WIDE = 200
"""The width of a table in characters, so that no column is cut."""


@dataclass(frozen=True)
class Table:
    """The result of one benchmark. All rows have the same columns."""

    title: str
    rows: list[Row]


def draw(tables: list[Table]) -> None:
    """Print the tables as Markdown."""
    console = Console(width=WIDE, highlight=False)
    for table in tables:
        drawn = Drawn(box=box.MARKDOWN)
        for column, value in table.rows[0].items():
            justify: JustifyMethod = "left" if isinstance(value, str) else "right"
            drawn.add_column(column, justify=justify, no_wrap=True)
        for row in table.rows:
            drawn.add_row(*(_text(value) for value in row.values()))
        console.print(table.title)
        console.print(drawn)


def as_json(tables: list[Table]) -> str:
    """Return the tables as one JSON object, by title."""
    return json.dumps({table.title: table.rows for table in tables}, indent=2)


def _text(value: str | float) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int):  # a count
        return f"{value:,}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}" if value < 10 else f"{value:.1f}"
