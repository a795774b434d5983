"""How many things one organization may have."""

from sqlalchemy import Select

from teamaccess import limits
from teamaccess.errors import Conflict
from teamaccess.ledger import Change
from teamaccess.models import Channel, OrganizationId


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
    than the limit allows. It is judged under the organization's lock. Operators are not limited.
    """
    if adding < 1 or change.attribution.channel is Channel.OPERATOR:
        return
    most: int = getattr(limits.in_force(), limit)
    if adding <= most:
        # the row that would leave no room for the new ones
        full = await change.session.scalar(present.offset(most - adding).limit(1))
        if full is None:
            return
    raise LimitReached(organization=organization, limit=limit, most=most)
