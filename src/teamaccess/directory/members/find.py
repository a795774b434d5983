"""Find a member."""

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from teamaccess.common.errors import NotFound
from teamaccess.storage import Membership, OrganizationId, UserId, is_local_id

WHOLE = (
    joinedload(Membership.user),
    joinedload(Membership.activity),
    joinedload(Membership.assignments),
)
"""A member with all that belongs to them, in one query."""


class UnknownMember(NotFound):
    """{user} is not a member of {organization}."""


async def find_member(
    session: AsyncSession, organization: OrganizationId, user: UserId
) -> Membership | None:
    """Return the member with user, roles and activity, or None."""
    if not is_local_id(user):
        return None
    return await session.get(Membership, (organization, user), options=WHOLE)


async def get_member(
    session: AsyncSession, organization: OrganizationId, user: UserId
) -> Membership:
    """Return the member; raises UnknownMember."""
    member = await find_member(session, organization, user)
    if member is None:
        raise UnknownMember(user=user, organization=organization)
    return member
