"""Times as people and programs write them."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from teamaccess.common.errors import Invalid
from teamaccess.common.formats.times import (
    LostPlus,
    NoSuchTime,
    OutOfCalendar,
    parse_time,
)

LAST_SECOND = datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-03-31T23:59:59Z", LAST_SECOND),
        ("2026-03-31T23:59:59z", LAST_SECOND),
        ("2026-03-31t23:59:59z", LAST_SECOND),
        ("2026-03-31 23:59:59Z", LAST_SECOND),
        ("2026-04-01T01:59:59+02:00", LAST_SECOND),
        ("2026-04-01T01:59:59+0200", LAST_SECOND),
        ("2026-03-31T20:59:59-03", LAST_SECOND),
        ("2026-03-31T23:59:59-00:00", LAST_SECOND),
        ("2026-03-31T23:59:59.5Z", LAST_SECOND + timedelta(milliseconds=500)),
        ("2026-03-31T23:59:59.123456789Z", LAST_SECOND + timedelta(microseconds=123456)),
        ("2026-03-31T23:59:59.999999999Z", LAST_SECOND + timedelta(microseconds=999999)),
        ("2026-03-31T23:59:59", LAST_SECOND),
        ("2026-03-31 23:59:59 Z", LAST_SECOND),
        ("2026-04-01 01:59:59 +0200", LAST_SECOND),
        ("2026-03-31T23:59Z", LAST_SECOND.replace(second=0)),
        ("2026-03-31", datetime(2026, 3, 31, tzinfo=UTC)),
        (" 2026-03-31\n", datetime(2026, 3, 31, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_as_utc(text: str, time: datetime) -> None:
    assert parse_time(text) == time
    assert parse_time(text).tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("last March", NoSuchTime),
        ("", NoSuchTime),
        ("1700000000", NoSuchTime),
        ("2026-02-30", NoSuchTime),
        ("2026-W14-2", NoSuchTime),
        ("2026-03-31T24:00:00Z", NoSuchTime),
        ("2026-03-31T23:59:60Z", NoSuchTime),
        ("2026-03-31T23:59:59+99:00", NoSuchTime),
        ("\u0662\u0660\u0662\u0666-03-31", NoSuchTime),  # Arabic digits
        ("2026-03-31T23:59:59." + "1" * 1000 + "Z", NoSuchTime),
        ("2026-03-31T23:59:59 02:00", LostPlus),
        ("2026-03-31T23:59:59.5 0200", LostPlus),
        ("9999-12-31T23:59:59-12:00", OutOfCalendar),
        ("9999-12-31T23:59:59.999999Z", OutOfCalendar),
        ("0001-01-01T00:00:00+14:00", OutOfCalendar),
    ],
)
def test_anything_else_is_refused(text: str, refusal: type[Invalid]) -> None:
    with pytest.raises(refusal):
        parse_time(text)


def test_a_lost_plus_is_explained() -> None:
    with pytest.raises(LostPlus) as refused:
        parse_time("2026-03-31T23:59:59 02:00")
    assert str(refused.value) == (
        "'2026-03-31T23:59:59 02:00' has a space before its offset. "
        "Write 2026-03-31T23:59:59+02:00; in a URL, write the + as %2B."
    )


ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(timezones=ZONES))
def test_a_time_is_read_in_text_as_it_is_in_a_body(time: datetime) -> None:
    assume(2 <= time.year <= 9998)
    body = msgspec.json.decode(msgspec.json.encode(time), type=datetime)
    assert parse_time(time.isoformat()) == body == time
