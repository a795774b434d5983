"""The query parameter `at`, read as the commands read times."""

from datetime import datetime
from typing import Annotated

from litestar.di import NamedDependency
from litestar.exceptions import ValidationException
from litestar.params import QueryParameter

from teamaccess.common.formats.times import LostPlus, NoSuchTime, parse_time

AtText = Annotated[
    str | None,
    QueryParameter(
        name="at",
        format="date-time",
        max_length=100,
        description="A past time with its zone, as in 2026-03-31T23:59:59Z, or a date. Omit it for the "
        "present.",
    ),
]

AtParameter = NamedDependency[datetime | None]
"""The time of a question about the past. A route takes it as its parameter `at`."""


def provide_at(text: AtText = None) -> datetime | None:
    """Return the parameter `at`, or None.

    Raises what `parse_time` does. A text that is not a time is an invalid parameter like any other.
    """
    try:
        return parse_time(text) if text is not None else None
    except (NoSuchTime, LostPlus) as refused:
        mistake = {"message": refused.detail, "key": "at", "source": "query"}
        raise ValidationException(refused.detail, extra=[mistake]) from None
