"""Ends the rows whose expiry has come."""

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
"""The most rows that one change ends. It is small because other changes of the organization wait."""

NOW = func.statement_timestamp()
"""PostgreSQL's clock, in a form that lets a query use an index."""


class ExpiringKind(NamedTuple):
    """A kind of row that can expire."""

    due: Select[OrganizationId]
    """Selects the organizations with expired rows."""
    expire: Callable[[Change, OrganizationId, int], Awaitable[int]]
    """Ends at most this many rows of an organization, and returns the number."""


KINDS = (
    ExpiringKind(select(Membership.organization_id).where(Membership.due(NOW)), expire_memberships),
    ExpiringKind(
        select(RoleAssignment.organization_id).where(RoleAssignment.due(NOW)), expire_roles
    ),
    ExpiringKind(
        select(TeamMembership.organization_id).where(TeamMembership.due(NOW)), expire_places
    ),
    ExpiringKind(select(TeamRole.organization_id).where(TeamRole.due(NOW)), expire_team_roles),
    ExpiringKind(select(Invitation.organization_id).where(Invitation.due(NOW)), expire_invitations),
    ExpiringKind(select(Grant.organization_id).where(Grant.due(NOW)), expire_grants),
)
"""Memberships come first, because the other rows of a membership end with it."""


async def find_due(
    session: AsyncSession, most: int, but: Iterable[OrganizationId] = ()
) -> Sequence[OrganizationId]:
    """Return at most `most` organizations with expired rows, except those in `but`.

    The order is random, so that concurrent workers rarely pick the same organization.
    """
    due = union(*(kind.due for kind in KINDS)).subquery()
    organization = due.c.organization_id
    organizations = await session.scalars(
        select(organization)
        .where(organization.not_in(list(but)))
        .order_by(func.random())
        .limit(most)
    )
    return organizations.all()


async def end_due(ledger: Ledger, organization: OrganizationId) -> int:
    """End the expired rows of an organization, at most a batch; return their number.

    The rows are looked up under the organization's lock, by PostgreSQL's clock. So two workers
    never end the same row, and a row that was extended meanwhile stays. Raises what `Ledger` does.
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
