"""The mails of invitations: count each one, and store what became of it."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.changes import OrganizationChange
from teamaccess.directory.invitations.limits import LONGEST_WINDOW, counted_mailbox
from teamaccess.directory.mail.outcome import Outcome
from teamaccess.ledger import Sessions
from teamaccess.storage import (
    Delivery,
    Invitation,
    InvitationDelivery,
    InvitationId,
    InvitationMail,
    OrganizationId,
)

MOST_FORGOTTEN = 10_000
"""Rows that one statement deletes."""


async def count_mail(change: OrganizationChange, invitation: Invitation) -> int:
    """Count a mail of the invitation, which is pending from now on. Return the mail's id."""
    mail = InvitationMail(
        organization_id=change.organization,
        mailbox=counted_mailbox(invitation.email),
        sent_by=change.attribution.account or change.actor,
        sent_at=change.now,
    )
    change.session.add(mail)
    await change.session.flush()
    pending = {
        "mail_id": mail.id,
        "status": Delivery.PENDING,
        "at": change.now,
        "problem": None,
    }
    key = {"organization_id": change.organization, "invitation_id": invitation.id}
    await change.session.execute(
        insert(InvitationDelivery)
        .values(**key, **pending)
        .on_conflict_do_update(index_elements=list(key), set_=pending)
    )
    return mail.id


async def store_outcome(sessions: Sessions, mail: int, outcome: Outcome, at: datetime) -> None:
    """Store what became of a mail. A mail that no server can have does not count for limits.

    If the invitation was sent again meanwhile, only the newer mail is shown.
    """
    async with sessions.begin() as session:
        await session.execute(
            update(InvitationDelivery)
            .where(InvitationDelivery.mail_id == mail)
            .values(status=outcome.delivery, problem=outcome.problem, at=at)
        )
        if not outcome.attempted:
            await session.execute(delete(InvitationMail).where(InvitationMail.id == mail))


async def find_deliveries(
    session: AsyncSession, organization: OrganizationId, ids: Collection[InvitationId]
) -> dict[InvitationId, InvitationDelivery]:
    """Return what became of the newest mail of each invitation, where it is known."""
    rows = await session.scalars(
        select(InvitationDelivery).where(
            InvitationDelivery.organization_id == organization,
            InvitationDelivery.invitation_id.in_(ids),
        )
    )
    return {row.invitation_id: row for row in rows}


async def forget_mails(sessions: Sessions, now: datetime) -> int:
    """Delete a batch of the mails that no limit counts any more. Return their number."""
    old = select(InvitationMail.id).where(InvitationMail.sent_at <= now - LONGEST_WINDOW)
    async with sessions.begin() as session:
        gone = await session.scalars(
            delete(InvitationMail)
            .where(
                InvitationMail.id.in_(old.order_by(InvitationMail.sent_at).limit(MOST_FORGOTTEN))
            )
            .returning(InvitationMail.id)
        )
        return len(gone.all())
