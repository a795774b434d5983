"""Find organizations."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import ARRAY, Text, any_, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.ledger import UnknownOrganization
from teamaccess.storage import Organization, OrganizationId


async def get_organization(session: AsyncSession, id: OrganizationId) -> Organization:
    """Return the organization; raises UnknownOrganization also for one that has ended."""
    organization = await session.get(Organization, id)
    if organization is None or organization.deleted_at is not None:
        raise UnknownOrganization(organization=id)
    return organization


async def list_organizations(
    session: AsyncSession,
    among: Iterable[OrganizationId] | None,
    after: tuple[datetime, str] | None,
    limit: int,
) -> Sequence[Organization]:
    """Return at most `limit` organizations, the oldest first; `among` None means all."""
    rows = (
        select(Organization)
        .where(Organization.deleted_at.is_(None))
        .order_by(Organization.created_at, Organization.id)
        .limit(limit)
    )
    if among is not None:
        rows = rows.where(Organization.id == any_(literal(list(among), ARRAY(Text))))
    if after is not None:
        rows = rows.where(tuple_(Organization.created_at, Organization.id) > after)
    return (await session.scalars(rows)).all()
