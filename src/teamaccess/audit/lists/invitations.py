"""Invitations at a past time: what the events say became of them, with today's addresses."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.audit.lists.past_directory import PastDirectory, PastEvent
from teamaccess.storage import Invitation, InvitationRole, UserId

INVITATION_EVENTS = (
    "member_invited",
    "invitation_resent",
    "invitation_offer_changed",
    "invitation_cancelled",
    "invitation_accepted",
    "invitation_expired",
)


async def invitations_at(session: AsyncSession, past: PastDirectory) -> list[Invitation]:
    """Return the invitations that had been sent by then, the newest first."""
    rows = await session.scalars(
        select(Invitation).where(
            Invitation.organization_id == past.organization, Invitation.created_at <= past.at
        )
    )
    events = past.events_by_subject(*INVITATION_EVENTS)
    found = [_as_it_was(row, events.get(row.id, ()), past.at) for row in rows]
    return sorted(found, key=lambda each: (each.created_at, each.id), reverse=True)


async def invitations_with_time(
    session: AsyncSession, past: PastDirectory
) -> list[tuple[Invitation, datetime]]:
    """Return the invitations, each with the time that its status is about."""
    return [(each, past.at) for each in await invitations_at(session, past)]


def _as_it_was(row: Invitation, events: Sequence[PastEvent], at: datetime) -> Invitation:
    """Return the invitation as it was, as a row that belongs to no session."""
    sent = [event for event in events if event.kind in ("member_invited", "invitation_resent")]
    offered = [event.details.roles for event in events if event.details.roles is not None]
    ended = {event.kind: event for event in events}
    accepted = ended.get("invitation_accepted")
    cancelled = ended.get("invitation_cancelled")
    expires_at, roles = row.expires_at, row.roles
    if sent:
        expires_at = sent[-1].details.expires_at or expires_at
    if offered:
        roles = offered[-1]
    lapsed = row.lapsed_at if row.lapsed_at is not None and row.lapsed_at <= at else None
    inviter = sent[-1].actor.partition(" ")[0].removeprefix("user:") if sent else row.invited_by
    return Invitation(
        organization_id=row.organization_id,
        id=row.id,
        email=row.email,
        invited_by=UserId(inviter),
        created_at=row.created_at,
        sent_at=sent[-1].occurred_at if len(sent) > 1 else row.created_at,
        expires_at=expires_at,
        accepted_at=accepted.occurred_at if accepted else _before(row.accepted_at, at),
        accepted_by=row.accepted_by if _before(row.accepted_at, at) is not None else None,
        cancelled_at=cancelled.occurred_at if cancelled else _before(row.cancelled_at, at),
        lapsed_at=lapsed,
        offers=[InvitationRole(role=role) for role in roles],
    )


def _before(instant: datetime | None, at: datetime) -> datetime | None:
    """Return the time if it had come by then."""
    return instant if instant is not None and instant <= at else None
