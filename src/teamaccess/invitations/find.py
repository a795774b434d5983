"""Find invitations."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.errors import NotFound
from teamaccess.models import Invitation, InvitationId, InvitationStatus, OrganizationId, User
from teamaccess.users.addresses import InvalidEmail, normalise


class NotAcceptedYet(NotFound):
    """{email} is no user: they were invited to {organization} by {invited_by} ({invitation}, open until \
    {until}) and can do nothing before they accept."""


async def open_invitation(
    session: AsyncSession, organization: OrganizationId, email: str
) -> Invitation | None:
    """Return what waits for an address, also where it has expired; there is one at most."""
    found: Invitation | None = await session.scalar(
        select(Invitation).where(
            Invitation.organization_id == organization,
            Invitation.email == email,
            Invitation.accepted_at.is_(None),
            Invitation.cancelled_at.is_(None),
            Invitation.lapsed_at.is_(None),
        )
    )
    return found


async def refuse_invited(
    session: AsyncSession, organization: OrganizationId, email: str, now: datetime
) -> None:
    """Raise NotAcceptedYet for the address of nobody but somebody who may accept an invitation."""
    try:
        offered = await open_invitation(session, organization, normalise(email))
    except InvalidEmail:
        return
    if offered is not None and offered.status(now) is InvitationStatus.PENDING:
        inviter = await session.get_one(User, offered.invited_by)
        raise NotAcceptedYet(
            email=offered.email,
            organization=organization,
            invited_by=inviter.email or inviter.id,
            invitation=offered.id,
            until=f"{offered.expires_at:%Y-%m-%d}",
        )


async def list_invitations(
    session: AsyncSession,
    organization: OrganizationId,
    status: InvitationStatus | None,
    now: datetime,
    before: tuple[datetime, InvitationId] | None,
    limit: int,
) -> Sequence[Invitation]:
    """Return at most `limit` invitations, the newest first, in two queries however many."""
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
    """The same as `Invitation.status`, for PostgreSQL; a test compares the two."""
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
