"""The mails of invitations: what counts for the limits, and what became of the newest one."""

from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Identity, Index
from sqlalchemy.orm import Mapped, mapped_column

from teamaccess.storage.base import Base, InvitationId, OrganizationId, UserId, times_in_calendar

LONGEST_SENDING = timedelta(minutes=2)
"""A mail that is pending for longer was interrupted: its process ended before the server answered."""


class Delivery(StrEnum):
    """What became of a mail."""

    PENDING = "pending"
    """It is being sent."""
    SENT = "sent"
    """The mail server accepted it."""
    FILE = "file"
    """It was written into a folder, and sent to nobody."""
    OFF = "off"
    """The deployment sends no mail."""
    FAILED = "failed"
    """No server accepted it, or the outcome is unknown."""


class DeliveryProblem(StrEnum):
    """Why a mail failed, in our own words: a server's text may contain an address or a secret."""

    UNREACHABLE = "mail_server_unreachable"
    TIMEOUT = "mail_server_timeout"
    SIGN_IN_REFUSED = "mail_server_refused_sign_in"
    RECIPIENT_REFUSED = "recipient_refused"
    REFUSED = "mail_refused"
    UNSUPPORTED = "address_not_supported"
    UNSAFE = "mail_not_safe"
    NOT_WRITTEN = "mail_not_written"
    INTERRUPTED = "interrupted"
    INTERNAL = "internal_error"


class InvitationMail(Base):
    """A mail that was sent within the last day. The limits on mails count these rows.

    It refers to no other row. So it stays when an invitation is sent again by somebody else, and when an
    organization is deleted with its invitations. The worker deletes it when no limit counts it any more.
    """

    __tablename__ = "invitation_mails"
    __table_args__ = (
        Index("invitation_mails_organization_idx", "organization_id", "sent_at"),
        Index("invitation_mails_mailbox_idx", "organization_id", "mailbox", "sent_at"),
        Index("invitation_mails_sender_idx", "sent_by", "sent_at"),
        Index("invitation_mails_sent_at_idx", "sent_at"),
        times_in_calendar("sent_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    organization_id: Mapped[OrganizationId]
    mailbox: Mapped[str]
    """The address without its tag and case-folded, so that all spellings count together."""
    sent_by: Mapped[UserId]
    """The person who sent it, or the service account."""
    sent_at: Mapped[datetime]


class InvitationDelivery(Base):
    """What became of the newest mail of an invitation."""

    __tablename__ = "invitation_deliveries"
    __table_args__ = (
        ForeignKeyConstraint(
            ["organization_id", "invitation_id"],
            ["invitations.organization_id", "invitations.id"],
            ondelete="CASCADE",
        ),
        CheckConstraint("status IN ('pending', 'sent', 'file', 'off', 'failed')", name="status"),
        times_in_calendar("at"),
    )

    organization_id: Mapped[OrganizationId] = mapped_column(primary_key=True)
    invitation_id: Mapped[InvitationId] = mapped_column(primary_key=True)
    mail_id: Mapped[int] = mapped_column(BigInteger)
    """The id of the mail in `invitation_mails`, which may be deleted already."""
    status: Mapped[str]
    at: Mapped[datetime]
    problem: Mapped[str | None]

    def outcome_at(self, now: datetime) -> tuple[Delivery, DeliveryProblem | None]:
        """Return what became of the mail, and why it failed. A mail that was interrupted has failed."""
        if self.status == Delivery.PENDING and now - self.at > LONGEST_SENDING:
            return Delivery.FAILED, DeliveryProblem.INTERRUPTED
        return Delivery(self.status), DeliveryProblem(self.problem) if self.problem else None
