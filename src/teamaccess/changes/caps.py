"""How many things one organization may have."""

from sqlalchemy import Select, func, select

from teamaccess.changes import OrganizationChange
from teamaccess.common.errors import Conflict
from teamaccess.ledger.session import MAX_UPDATES_OF_ONE_SUBJECT
from teamaccess.storage import Channel

LARGE_LIMITS = ("objects", "grants", "members")
"""Limits of things of which an organization may have very many, each of them in its ledger. Counting a
million takes a quarter of a second, and the organization's other changes wait meanwhile."""


class LimitReached(Conflict):
    """The organization has as many things of one kind as the settings allow."""

    message = (
        "{organization} has reached the limit {limit} ({most}). Remove something, or ask an "
        "operator of this service to raise the limit."
    )


async def refuse_full(
    change: OrganizationChange, limit: str, present: Select[int], adding: int = 1
) -> None:
    """Raise LimitReached if `adding` more things would be too many for the organization.

    `limit` names a field of `Limits`. `present` selects a constant for each existing thing; no more rows
    are read than the limit allows, and none while there is certainly room. The organization is locked, so
    nothing is added meanwhile. Operators are not limited.
    """
    organization = change.organization
    if adding < 1 or change.attribution.channel is Channel.OPERATOR:
        return
    most: int = getattr(change.limits, limit)
    if limit in LARGE_LIMITS and _has_room(change, limit, most - adding):
        return
    counted = select(func.count()).select_from(present.limit(most).subquery())
    count: int = (await change.session.execute(counted)).scalar_one()
    position = change.position_of(organization)

    async def remember() -> None:
        # SECURITY: only after the commit. A change that is rolled back may have removed what it counted.
        change.counted[organization, limit] = (position, count)

    change.after_commit.append(remember)
    if count + adding > most:
        raise LimitReached(organization=organization, limit=limit, most=most)


def _has_room(change: OrganizationChange, limit: str, most: int) -> bool:
    """Return whether there are certainly no more than `most`, by an earlier count and the ledger.

    Each thing takes at least one update of a position, so the positions since the count bound how many
    there can be now.
    """
    organization = change.organization
    earlier = change.counted.get((organization, limit))
    if earlier is None:
        return False
    position, count = earlier
    positions = change.position_of(organization) - position + 1  # one for this change
    return positions > 0 and count + positions * MAX_UPDATES_OF_ONE_SUBJECT <= most
