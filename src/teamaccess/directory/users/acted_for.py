"""Whom a service account can act for."""

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.common.errors import NotFound
from teamaccess.storage import Membership, OrganizationId, User, UserId

LONGEST = 255


class NobodyToActFor(NotFound):
    """There is nobody among the people of {organization} with this id or external id."""


async def person_in(session: AsyncSession, organization: OrganizationId, id: str) -> User:
    """Return the person of the organization with the id or the external id; raises NobodyToActFor.

    A service account is nobody to act for.
    """
    person: User | None = None
    if 0 < len(id) <= LONGEST and id.isprintable():
        person = await session.scalar(
            select(User)
            .join(Membership, Membership.user_id == User.id)
            .where(
                Membership.organization_id == organization,
                User.service_account_of.is_(None),
                or_(User.id == UserId(id), User.external_id == id),
            )
            .order_by(User.id != id)  # an id goes before somebody else's external one
            .limit(1)
        )
    if person is None:
        raise NobodyToActFor(organization=organization)
    return person
