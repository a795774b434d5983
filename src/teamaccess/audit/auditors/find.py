"""Find the auditors of all organizations."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.storage import Auditor, User, UserId


class AuditorEntry(NamedTuple):
    """An auditor of all organizations."""

    user: UserId
    email: str | None
    since: datetime
    until: datetime | None
    by: str


async def is_auditor(session: AsyncSession, user: UserId, now: datetime) -> bool:
    """Return whether the user may audit every organization."""
    granted = exists().where(Auditor.user_id == user, Auditor.active(now))
    return bool(await session.scalar(select(granted)))


async def list_auditors(session: AsyncSession, now: datetime) -> Sequence[AuditorEntry]:
    """Return the active auditors of all organizations, in the order of their appointment."""
    rows = await session.execute(
        select(
            Auditor.user_id, User.email, Auditor.granted_at, Auditor.expires_at, Auditor.granted_by
        )
        .join(User, User.id == Auditor.user_id)
        .where(Auditor.active(now))
        .order_by(Auditor.granted_at, Auditor.user_id)
    )
    return [AuditorEntry(*row) for row in rows]
