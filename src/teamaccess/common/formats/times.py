"""Read the times that people and programs write, in RFC 3339: one parser for the API and the commands."""

import re
from datetime import UTC, datetime

from teamaccess.common.errors import Invalid

DATE = r"(?P<date>\d{4}-\d\d-\d\d)"
CLOCK = r"(?P<clock>\d\d:\d\d(?::\d\d(?:[.,]\d{1,30})?)?)"
TIME = re.compile(rf"{DATE}(?:[Tt ]{CLOCK}(?P<zone>[Zz]|[+-]\d\d(?::?\d\d)?)?)?", re.ASCII)
LOST_PLUS = re.compile(rf"{DATE}[Tt ]{CLOCK} (?P<offset>\d\d:?\d\d)", re.ASCII)


class NoSuchTime(Invalid):
    """The text is not a time."""

    message = "{at!r} is not a time. Write 2026-03-31 or 2026-03-31T23:59:59Z."


class LostPlus(Invalid):
    """The time has a space in place of the plus of its offset. In a URL, a plus means a space."""

    message = "{at!r} has a space before its offset. Write {written}; in a URL, write the + as %2B."


class TimeWithoutZone(Invalid):
    """The time has no time zone, so it names no instant."""

    message = (
        "The time {at} has no time zone. Write {at}Z for UTC, or add an offset such as +02:00 "
        "(%2B02:00 in a URL)."
    )


class OutOfCalendar(Invalid):
    """The time in UTC is outside what the database can store."""

    message = "{at} is outside the years 1 to 9999 in UTC. Choose another time."


def parse_time(text: str, *, utc_without_zone: bool = False) -> datetime:
    """Return the time in UTC. A date alone is its first moment in UTC.

    A time of day needs a zone, unless `utc_without_zone`. Digits of a second beyond the sixth are
    dropped. Raises NoSuchTime, LostPlus, TimeWithoutZone and OutOfCalendar.
    """
    text = text.strip()
    if (found := TIME.fullmatch(text)) is None:
        if (lost := LOST_PLUS.fullmatch(text)) is not None:
            raise LostPlus(at=text, written=f"{lost['date']}T{lost['clock']}+{lost['offset']}")
        raise NoSuchTime(at=text)
    date, clock, zone = found["date"], found["clock"] or "00:00", found["zone"]
    try:
        time = datetime.fromisoformat(f"{date}T{clock}{(zone or 'Z').upper()}")
    except ValueError as wrong:
        raise NoSuchTime(at=text) from wrong
    if found["clock"] and zone is None and not utc_without_zone:
        raise TimeWithoutZone(at=text)
    return as_utc(time)


def as_utc(time: datetime) -> datetime:
    """Return the same instant in UTC. Raises TimeWithoutZone and OutOfCalendar."""
    if time.utcoffset() is None:
        raise TimeWithoutZone(at=time.isoformat())
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise OutOfCalendar(at=time.isoformat()) from None
