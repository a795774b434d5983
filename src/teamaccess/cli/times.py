"""Times, as people write them on the command line."""

from datetime import UTC, datetime

from teamaccess.errors import Invalid


class NoSuchTime(Invalid):
    """{at!r} is no time: write 2026-03-31 or 2026-03-31T23:59:59Z."""


def time_of(text: str) -> datetime:
    """Return the time that is written; in UTC if it says no zone. Raises NoSuchTime."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError as wrong:
        raise NoSuchTime(at=text) from wrong
    return time if time.utcoffset() is not None else time.replace(tzinfo=UTC)
