"""The types of routes' parameters other than the body: path parameters and dependencies."""

from datetime import datetime
from typing import Annotated, Any

from litestar import Request
from litestar.di import NamedDependency
from litestar.exceptions import ValidationException
from litestar.params import FromPath, QueryParameter

from teamaccess.common.formats.times import LostPlus, NoSuchTime, parse_time
from teamaccess.service import Service
from teamaccess.storage import User

AnyRequest = Request[Any, Any, Any]
"""The request itself, for routes that need more of it than its parameters."""

PathId = FromPath[str]
"""An id in the path. An unknown id is answered with 404."""

ServiceDependency = NamedDependency[Service]
"""The process's connections."""

SignedInUser = NamedDependency[User]
"""The signed-in user. An anonymous caller gets a 401, an operator a 403."""

AtParameter = NamedDependency[datetime | None]
"""The time of a question about the past. A route takes it as its parameter `at`."""

PastMoment = NamedDependency[datetime | int | None]
"""The time or ledger position of a list of the past. A route takes it as its parameter `past_moment`."""

AtText = Annotated[
    str | None,
    QueryParameter(
        name="at",
        format="date-time",
        max_length=100,
        description="A past time, as in 2026-03-31T23:59:59Z, or a date. Without an offset it is UTC. "
        "Omit it for the present.",
    ),
]

MomentText = Annotated[
    str | None,
    QueryParameter(
        name="at",
        max_length=100,
        description="A past time, as in 2026-03-31T23:59:59Z, a date, or a ledger position. Without an "
        "offset it is UTC. The list is as it was then. It requires the right to audit. Omit it for the "
        "present.",
    ),
]


def provide_at(text: AtText = None) -> datetime | None:
    """Return the time in the parameter `at`, or None.

    Raises what `parse_time` does. A text that is not a time is an invalid parameter like any other.
    """
    try:
        return parse_time(text) if text is not None else None
    except (NoSuchTime, LostPlus) as refused:
        mistake = {"message": refused.detail, "key": "at", "source": "query"}
        raise ValidationException(refused.detail, extra=[mistake]) from None


def provide_past_moment(text: MomentText = None) -> datetime | int | None:
    """Return the time or the ledger position in the parameter `at`, or None.

    Raises what `provide_at` does.
    """
    if text is not None and text.isascii() and text.isdigit():
        return int(text)
    return provide_at(text)
