"""How many things one organization may have."""

from sqlalchemy import Select, func, select

from teamaccess.changes import Change
from teamaccess.common.errors import Conflict
from teamaccess.ledger.drain import MAX_UPDATES_OF_ONE_SUBJECT
from teamaccess.storage import Channel, OrganizationId

OF_THE_ORGANIZATION = ("objects", "grants", "members")
"""Limits of things that an organization may have very many of, each of them in its ledger. Counting a
million takes a quarter of a second, and the organization's other changes wait."""


class LimitReached(Conflict):
    """{organization} has reached the limit {limit} ({most}). Remove what is no longer needed, or ask whoever operates this service to raise the limit."""  # noqa: E501 - a sentence is one line


async def refuse_full(
    change: Change,
    organization: OrganizationId,
    limit: str,
    present: Select[int],
    adding: int = 1,
) -> None:
    """Raise LimitReached where `adding` things beside those present would be too many.

    `limit` names a field of `Limits`. `present` selects a constant for each thing; no more rows are read
    than the limit allows, and none while there is room for certain. It is judged under the
    organization's lock. Operators are not limited.
    """
    if adding < 1 or change.attribution.channel is Channel.OPERATOR:
        return
    most: int = getattr(change.limits, limit)
    if limit in OF_THE_ORGANIZATION and _has_room(change, organization, limit, most - adding):
        return
    counted = select(func.count()).select_from(present.limit(most).subquery())
    count: int = (await change.session.execute(counted)).scalar_one()
    change.counted[organization, limit] = (change.position_of(organization), count)
    if count + adding > most:
        raise LimitReached(organization=organization, limit=limit, most=most)


def _has_room(change: Change, organization: OrganizationId, limit: str, most: int) -> bool:
    """Return whether there are no more than `most` for certain, by an earlier count and the ledger.

    Each thing is an update of a position at least, so positions bound how many there can be by now.
    """
    earlier = change.counted.get((organization, limit))
    if earlier is None:
        return False
    position, count = earlier
    positions = change.position_of(organization) - position + 1  # this change's, too
    return positions > 0 and count + positions * MAX_UPDATES_OF_ONE_SUBJECT <= most
