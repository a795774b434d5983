"""Find users."""

from datetime import datetime

from sqlalchemy import bindparam, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.common.errors import NotFound
from teamaccess.directory.users.addresses import InvalidEmail, normalise
from teamaccess.storage import User, UserId

BY_ID = select(User).where(User.id == bindparam("id"))
"""Built once: every request with a token asks it."""


WITH_CLOCK = BY_ID.add_columns(func.clock_timestamp())


class UnknownUser(NotFound):
    """There is no user {user}."""


async def user_now(session: AsyncSession, id: UserId) -> User | None:
    """Return the user as PostgreSQL has them at this moment, or None."""
    return (await session.scalars(BY_ID, {"id": id})).one_or_none()


async def user_and_clock(session: AsyncSession, id: UserId) -> tuple[User, datetime] | None:
    """Return the user and PostgreSQL's clock at this moment, or None where there is no such user."""
    found = (await session.execute(WITH_CLOCK, {"id": id})).one_or_none()
    return (found[0], found[1]) if found is not None else None


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
