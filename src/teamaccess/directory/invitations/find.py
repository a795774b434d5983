"""Find invitations."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.storage import Invitation, InvitationId, InvitationStatus, OrganizationId


async def open_invitation(
    session: AsyncSession, organization: OrganizationId, email: str
) -> Invitation | None:
    """Return the open invitation to an address, pending or expired; there is one at most."""
    invitation: Invitation | None = await session.scalar(
        select(Invitation).where(
            Invitation.organization_id == organization,
            Invitation.email == email,
            Invitation.accepted_at.is_(None),
            Invitation.cancelled_at.is_(None),
            Invitation.lapsed_at.is_(None),
        )
    )
    return invitation


async def list_invitations(
    session: AsyncSession,
    organization: OrganizationId,
    status: InvitationStatus | None,
    now: datetime,
    before: tuple[datetime, InvitationId] | None,
    limit: int,
) -> Sequence[Invitation]:
    """Return at most `limit` invitations, the newest first, always in two queries."""
    page = (
        select(Invitation)
        .where(Invitation.organization_id == organization)
        .order_by(Invitation.created_at.desc(), Invitation.id.desc())
        .limit(limit)
    )
    if before is not None:
        page = page.where(tuple_(Invitation.created_at, Invitation.id) < before)
    if status is not None:
        page = page.where(_is(status, now))
    return (await session.scalars(page)).all()


def _is(status: InvitationStatus, now: datetime) -> ColumnElement[bool]:
    """Return the condition that `Invitation.status` stands for; a test compares the two."""
    undecided = and_(Invitation.accepted_at.is_(None), Invitation.cancelled_at.is_(None))
    expired = or_(Invitation.lapsed_at.is_not(None), Invitation.expires_at <= now)
    match status:
        case InvitationStatus.ACCEPTED:
            return Invitation.accepted_at.is_not(None)
        case InvitationStatus.CANCELLED:
            return Invitation.cancelled_at.is_not(None)
        case InvitationStatus.EXPIRED:
            return and_(undecided, expired)
        case InvitationStatus.PENDING:
            return and_(undecided, ~expired)
