"""What ends by itself, and how."""

import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Select, func, select, union
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.changes import Change, Ledger
from teamaccess.directory.expiry import (
    expire_grants,
    expire_invitations,
    expire_memberships,
    expire_places,
    expire_roles,
    expire_team_roles,
)
from teamaccess.ledger import Attribution
from teamaccess.storage import (
    Channel,
    Grant,
    Invitation,
    Membership,
    OrganizationId,
    RoleAssignment,
    TeamMembership,
    TeamRole,
)

BATCH = 200
"""Rows that one change ends: others wait for the organization meanwhile, so not for long."""

NOW = func.statement_timestamp()
"""PostgreSQL's clock, in a form for which it uses an index."""


class Kind(NamedTuple):
    """A kind of row that ends by itself."""

    due: Select[OrganizationId]
    """Where there are some whose end has come."""
    expire: Callable[[Change, OrganizationId, int], Awaitable[int]]
    """Ends at most so many of an organization's, and returns how many."""


KINDS = (
    Kind(select(Membership.organization_id).where(Membership.due(NOW)), expire_memberships),
    Kind(select(RoleAssignment.organization_id).where(RoleAssignment.due(NOW)), expire_roles),
    Kind(select(TeamMembership.organization_id).where(TeamMembership.due(NOW)), expire_places),
    Kind(select(TeamRole.organization_id).where(TeamRole.due(NOW)), expire_team_roles),
    Kind(select(Invitation.organization_id).where(Invitation.due(NOW)), expire_invitations),
    Kind(select(Grant.organization_id).where(Grant.due(NOW)), expire_grants),
)
"""Memberships first: what ends with one needs no end of its own."""


async def find_due(
    session: AsyncSession, most: int, but: Iterable[OrganizationId] = ()
) -> Sequence[OrganizationId]:
    """Return at most so many organizations in which something has come to its end.

    In random order, so that workers side by side seldom meet.
    """
    due = union(*(kind.due for kind in KINDS)).subquery()
    organization = due.c.organization_id
    found = await session.scalars(
        select(organization)
        .where(organization.not_in(list(but)))
        .order_by(func.random())
        .limit(most)
    )
    return found.all()


async def end_due(ledger: Ledger, organization: OrganizationId) -> int:
    """End what has come to its end in an organization, a batch at most; return how many rows.

    What that is is looked up under the organization's lock, by PostgreSQL's clock: whoever else looked
    before finds nothing, and what was put off meanwhile stays. Raises what `Ledger` does.
    """
    by_system = Attribution("system", Channel.SYSTEM, secrets.token_hex(12))
    ended = 0
    async with ledger.change(by_system, organization, even_if_stopped=True) as change:
        for kind in KINDS:
            if ended < BATCH:
                ended += await kind.expire(change, organization, BATCH - ended)
        if ended:
            await ledger.commit(change)
    return ended
