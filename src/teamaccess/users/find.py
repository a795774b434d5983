"""Find users."""

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.errors import NotFound
from teamaccess.models import User, UserId
from teamaccess.users.addresses import InvalidEmail, normalise


class UnknownUser(NotFound):
    """There is no user {user}."""


async def find_user(session: AsyncSession, id_or_email: str) -> User:
    """Return the user with the id or the e-mail address; raises UnknownUser."""
    try:
        address = normalise(id_or_email)
    except InvalidEmail:
        address = ""
    wanted = or_(User.id == UserId(id_or_email), User.email == address)
    user = (await session.scalars(select(User).where(wanted))).one_or_none()
    if user is None:
        raise UnknownUser(user=id_or_email)
    return user
