"""Lists as of a past time: who may ask, and how pages are made."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.api.identity.callers import attribution
from teamaccess.api.requests.audit_access import authorize_audit, recheck_audit_access
from teamaccess.api.requests.pages import InvalidCursor, Page, decode, page
from teamaccess.api.requests.parameters import AnyRequest
from teamaccess.api.requests.throttling import release_slot
from teamaccess.audit.lists.past_directory import PastDirectory, directory_at
from teamaccess.common.errors import Invalid
from teamaccess.service import Service

Row = TypeVar("Row")
Item = TypeVar("Item")
Key = Callable[[Row], tuple[datetime, str]]


class OnlyAtPresent(Invalid):
    """A filter uses a field that has no history."""

    message = (
        "{parameter} can't be combined with `at`: there is no history of it. Leave one of them out."
    )


async def read_past(
    request: AnyRequest,
    service: Service,
    organization: str,
    past_moment: datetime | int,
    read: Callable[[AsyncSession, PastDirectory], Awaitable[Row]],
) -> Row:
    """Return what `read` finds in the directory at a past time, if the caller may audit.

    Raises what `authorize_audit` and `directory_at` do.
    """
    id = await authorize_audit(request, service, organization)
    release_slot(request)
    past = await directory_at(service.audit.sources, id, past_moment, attribution(request).caller)
    async with service.reads() as session:
        found = await read(session, past)
    await recheck_audit_access(request, service, id)
    return found


def past_page(
    rows: Sequence[Row],
    cursor: str | None,
    limit: int,
    key: Key[Row],
    item: Callable[[Row], Item],
) -> Page[Item]:
    """Return a page of a complete list, which is the same in each request: the past does not change."""
    start = 0
    if (after := decode(cursor)) is not None:
        keys = [key(row) for row in rows]
        if after not in keys:
            raise InvalidCursor
        start = keys.index(after) + 1
    return page(rows[start : start + limit + 1], limit, key, item)
