"""Numbers with their nouns: "1 member", "2 members"."""

from string import Formatter
from typing import Any


def pluralize(count: float | str, noun: str) -> str:
    """Return "1 mistake", "2 mistakes". A number may be written already, such as "0.5"."""
    return f"{count} {noun}" if str(count) == "1" else f"{count} {noun}s"


class SentenceFormatter(Formatter):
    """Formats as `str.format` does, and writes the noun behind a number: `{open:open request}`."""

    def format_field(self, value: Any, format_spec: str) -> str:
        """Return the number and its noun, in the plural unless the number is one."""
        if format_spec and isinstance(value, int | float | str) and not isinstance(value, bool):
            return pluralize(value, format_spec)
        return str(super().format_field(value, format_spec))
