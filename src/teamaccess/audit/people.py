"""What people are called."""

from collections.abc import Sequence

from sqlalchemy import ARRAY, Text, any_, bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.models import User, UserId

NAMES = select(User.id, User.email, User.name).where(
    User.id == any_(bindparam("users", type_=ARRAY(Text)))
)
AT_A_TIME = 10_000


async def names_of(
    session: AsyncSession, users: Sequence[UserId]
) -> dict[UserId, tuple[str | None, str | None]]:
    """Return e-mail address and name of users."""
    found: dict[UserId, tuple[str | None, str | None]] = {}
    for start in range(0, len(users), AT_A_TIME):
        rows = await session.execute(NAMES, {"users": users[start : start + AT_A_TIME]})
        found |= {row.id: (row.email, row.name) for row in rows}
    return found
