"""The text form of an instant: RFC 3339 in UTC, as Go's RFC3339Nano prints it."""

import re
from datetime import UTC, datetime

from teamaccess.relationships.errors import InvalidRelationship

# SpiceDB accepts only the offset Z. Python keeps microseconds, so it would lose a seventh digit.
INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?Z"
)


def in_utc(instant: datetime) -> datetime:
    """Return the same instant in UTC.

    Raises InvalidRelationship if it has no timezone or is outside of the years 1 to 9999.
    """
    if instant.utcoffset() is None:
        raise InvalidRelationship(f"an expiration needs a timezone: {instant.isoformat()}")
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise InvalidRelationship(f"out of range in UTC: {instant.isoformat()}") from None


def format_instant(instant: datetime) -> str:
    """Return the text form, such as `2027-01-01T00:00:00Z`. A fraction has no trailing zeros."""
    text = instant.replace(tzinfo=None).isoformat()
    return f"{text.rstrip('0') if instant.microsecond else text}Z"


def parse_instant(text: str) -> datetime:
    """Return the instant in UTC. Raises InvalidRelationship for any other spelling."""
    if not INSTANT.fullmatch(text):
        raise InvalidRelationship(f"not an instant in RFC 3339 and UTC: {text!r}")
    try:
        return datetime.fromisoformat(text)
    except ValueError as impossible:
        raise InvalidRelationship(f"no such instant: {text} ({impossible})") from None
