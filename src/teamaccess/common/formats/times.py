"""Read the times that people and programs write, in RFC 3339.

This is the only parser of times in queries, request bodies, plan files and arguments of commands.
"""

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from teamaccess.common.errors import Invalid

DATE = r"(?P<date>\d{4}-\d\d-\d\d)"
CLOCK = r"(?P<clock>\d\d:\d\d(?::\d\d(?:[.,]\d{1,30})?)?)"
ZONE = r"(?P<zone> ?(?:[Zz]|[+-]\d\d(?::?\d\d)?))"
TIME = re.compile(rf"{DATE}(?:[Tt ]{CLOCK}{ZONE}?)?", re.ASCII)
LOST_PLUS = re.compile(rf"{DATE}[Tt ]{CLOCK} (?P<offset>\d\d:?\d\d)", re.ASCII)

EXAMPLES = "2026-03-31, 2026-03-31T23:59:59Z or 2026-03-31T23:59:59+02:00"
INFINITY = datetime.max.replace(tzinfo=UTC)
"""The database driver writes this time as PostgreSQL's `infinity`, so it cannot be stored as a time."""


class NoSuchTime(Invalid):
    """The text is not a time."""

    message = f"{{at!r}} is not a time. Write {EXAMPLES}. Without an offset, a time is UTC."


class LostPlus(Invalid):
    """The time has a space in place of the plus of its offset. In a URL, a plus means a space."""

    message = "{at!r} has a space before its offset. Write {written}; in a URL, write the + as %2B."


class OutOfCalendar(Invalid):
    """The time in UTC is outside what the database can store."""

    message = "{at} is outside the years 1 to 9999 in UTC. Choose another time."


def parse_time(text: str) -> datetime:
    """Return the time in UTC. A date alone is its first moment in UTC.

    A time without an offset is UTC. Digits of a second beyond the sixth are dropped. Raises NoSuchTime,
    LostPlus and OutOfCalendar.
    """
    text = text.strip()
    if (found := TIME.fullmatch(text)) is None:
        if (lost := LOST_PLUS.fullmatch(text)) is not None:
            raise LostPlus(at=text, written=f"{lost['date']}T{lost['clock']}+{lost['offset']}")
        raise NoSuchTime(at=text)
    date, clock, zone = found["date"], found["clock"] or "00:00", found["zone"] or "Z"
    try:
        time = datetime.fromisoformat(f"{date}T{clock}{zone.strip().upper()}")
    except ValueError as wrong:
        raise NoSuchTime(at=text) from wrong
    return as_utc(time)


def as_utc(time: datetime) -> datetime:
    """Return the same instant in UTC. A time without an offset is UTC. Raises OutOfCalendar."""
    if time.utcoffset() is None:
        time = time.replace(tzinfo=UTC)
    try:
        instant = time.astimezone(UTC)
    except OverflowError:
        raise OutOfCalendar(at=time.isoformat()) from None
    if instant == INFINITY:
        raise OutOfCalendar(at=time.isoformat())
    return instant


class _IncludesTimes(type):
    """The type of `Instant`. Every time is an instance."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, datetime)


if TYPE_CHECKING:
    Instant = datetime
else:

    class Instant(metaclass=_IncludesTimes):
        """A time in a request body or a file. msgspec's own parser takes other texts than `parse_time`.

        A decoder of such a type needs `decode_instant`.
        """


def decode_instant(kind: type, value: object) -> datetime:
    """Return the time that a body or a file gives, as msgspec's `dec_hook`. Raises ValueError."""
    if kind is not Instant:
        raise NotImplementedError(f"no field can have the type {kind}")
    if not isinstance(value, str):
        raise ValueError(f"Expected a time as text, such as {EXAMPLES}")
    try:
        return parse_time(value)
    except Invalid as refused:
        raise ValueError(refused.detail) from None
