"""Lists in pages. An opaque cursor says where the next page begins."""

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Generic, TypeVar

import msgspec
from litestar.params import QueryParameter

from teamaccess.common.errors import Invalid
from teamaccess.storage import is_local_id

LONGEST_PAGE = 1000

Limit = Annotated[
    int, QueryParameter(ge=1, le=LONGEST_PAGE, description="The largest number of items to return.")
]
Cursor = Annotated[
    str | None,
    QueryParameter(
        max_length=500,
        description="`next_cursor` of the previous page. Omit it for the first page.",
    ),
]

Instant = Annotated[datetime, msgspec.Meta(tz=True)]

Item = TypeVar("Item")
Row = TypeVar("Row")


class InvalidCursor(Invalid):
    """The cursor was not issued by this list, or it was changed."""

    message = "The cursor is not valid for this list. Start again without a cursor."


class Page(msgspec.Struct, Generic[Item]):
    """A page of a list."""

    items: list[Item]
    next_cursor: str | None


def page(
    rows: Sequence[Row],
    limit: int,
    key: Callable[[Row], tuple[datetime | str, str]],
    item: Callable[[Row], Item],
) -> Page[Item]:
    """Return the first `limit` rows as a page. One row more means that there is a next page."""
    shown = rows[:limit]
    more = encode(key(shown[-1])) if len(rows) > limit else None
    return Page(items=[item(row) for row in shown], next_cursor=more)


def encode(key: tuple[datetime | str, str]) -> str:
    """Return the cursor that continues after the key."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def decode(cursor: str | None) -> tuple[datetime, str] | None:
    """Return the key after which a cursor continues. Raises InvalidCursor."""
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        key = base64.b64decode(padded, altchars=b"-_", validate=True)
        at, id = msgspec.json.decode(key, type=tuple[Instant, str])
        at = at.astimezone(UTC)
    except (binascii.Error, ValueError, OverflowError, msgspec.MsgspecError):
        raise InvalidCursor from None
    if not is_local_id(id):
        raise InvalidCursor
    return at, id
