"""Invitations and the roles that they offer."""

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    and_,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from teamaccess.catalog import Catalog
from teamaccess.common.errors import Conflict
from teamaccess.relationships import Relationship, email, invitation
from teamaccess.storage.base import (
    EXPIRATION_IN_RANGE,
    LOCAL_PATTERN,
    ROLE_PATTERN,
    Base,
    Instant,
    InvitationId,
    OrganizationId,
    RelationshipSource,
    RoleId,
    UserId,
    is_local_id,
    is_organization_id,
    times_in_calendar,
)


class InvitationRole(Base):
    """A role that an invitation offers. It gives no access before the acceptance."""

    __tablename__ = "invitation_roles"
    __table_args__ = (
        ForeignKeyConstraint(
            ["organization_id", "invitation_id"],
            ["invitations.organization_id", "invitations.id"],
            ondelete="CASCADE",
        ),
        CheckConstraint(f"role ~ '{ROLE_PATTERN}'", name="role"),
    )

    organization_id: Mapped[OrganizationId] = mapped_column(primary_key=True)
    invitation_id: Mapped[InvitationId] = mapped_column(primary_key=True)
    role: Mapped[RoleId] = mapped_column(primary_key=True)


MOST_TIMES_SENT = 2**31 - 1
"""The largest number of the column. A planted one must not keep the invitation from being sent again."""
OPEN = "accepted_at IS NULL AND cancelled_at IS NULL AND lapsed_at IS NULL"


class InvitationStatus(StrEnum):
    """The status of an invitation."""

    PENDING = "pending"
    EXPIRED = "expired"
    ACCEPTED = "accepted"
    CANCELLED = "cancelled"


class InvitationEnded(Conflict):
    """The invitation was accepted, cancelled, or has expired."""

    message = "The invitation {invitation} is {status}, so it can't be {wanted}. Invite again."


class Invitation(RelationshipSource):
    """An offer of a membership with roles. It can be accepted once, until it expires.

    Only the hash of the token in its mail is stored. `invitee` is the keyed hash of the address. SpiceDB
    receives that hash instead of the address.
    """

    __tablename__ = "invitations"
    __table_args__ = (
        CheckConstraint(f"id ~ '{LOCAL_PATTERN}'", name="id"),
        CheckConstraint("invitee ~ '^[0-9a-f]{64}$'", name="invitee"),
        CheckConstraint(EXPIRATION_IN_RANGE, name="expires_at"),
        times_in_calendar(
            "created_at", "sent_at", "expires_at", "accepted_at", "cancelled_at", "lapsed_at"
        ),
        Index(
            "invitations_one_open_key",
            "organization_id",
            "email",
            unique=True,
            postgresql_where=OPEN,
        ),
        Index("invitations_expires_at_idx", "expires_at", postgresql_where=OPEN),
        Index("invitations_organization_id_created_at_idx", "organization_id", "created_at"),
    )

    resource_type: ClassVar[str] = "invitation"

    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id"), primary_key=True
    )
    id: Mapped[InvitationId] = mapped_column(primary_key=True)
    email: Mapped[str]
    invitee: Mapped[str]
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    invited_by: Mapped[UserId] = mapped_column(ForeignKey("users.id"))
    invited_via: Mapped[UserId | None] = mapped_column(ForeignKey("users.id"))
    """The service account that sent the invitation on the inviter's behalf, if any."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    sent_at: Mapped[datetime]
    times_sent: Mapped[int] = mapped_column(default=1)
    expires_at: Mapped[datetime]
    accepted_at: Mapped[datetime | None]
    accepted_by: Mapped[UserId | None] = mapped_column(ForeignKey("users.id"))
    cancelled_at: Mapped[datetime | None]
    lapsed_at: Mapped[datetime | None]
    """The expiration of an invitation that the sweeper has ended. Such an invitation stands for no
    relationship, and a new one can be sent to the same address."""

    offers: Mapped[list[InvitationRole]] = relationship(
        lazy="selectin", cascade="all, delete-orphan", order_by="InvitationRole.role"
    )

    def relationships(self) -> Iterator[Relationship]:
        """Yield the relationship of the invitee while the invitation is open. It expires by itself."""
        if self.accepted_at is None and self.cancelled_at is None and self.lapsed_at is None:
            yield invitation(self.organization_id, self.id).relates(
                "invitee", email(self.invitee), until=self.expires_at
            )

    @classmethod
    def can_represent(cls, relationship: Relationship, catalog: Catalog) -> bool:
        """Return whether it relates an invitation to its invitee, with an expiration."""
        organization, _, id = relationship.resource.id.partition("/")
        return (
            relationship.resource.type == cls.resource_type
            and is_organization_id(organization)
            and is_local_id(id)
            and relationship.relation == "invitee"
            and relationship.subject.object.type == "email"
            and relationship.subject.relation is None
            and relationship.expiration is not None
        )

    @classmethod
    def due(cls, at: Instant) -> ColumnElement[bool]:
        """Return the condition for open invitations that have expired by `at`."""
        return and_(
            cls.expires_at <= at,
            cls.accepted_at.is_(None),
            cls.cancelled_at.is_(None),
            cls.lapsed_at.is_(None),
        )

    @property
    def roles(self) -> list[RoleId]:
        """The ids of the offered roles, sorted."""
        return sorted(offer.role for offer in self.offers)

    def status(self, at: datetime) -> InvitationStatus:
        """Return the status at that time."""
        if self.accepted_at is not None:
            return InvitationStatus.ACCEPTED
        if self.cancelled_at is not None:
            return InvitationStatus.CANCELLED
        if self.lapsed_at is not None or self.expires_at <= at:
            return InvitationStatus.EXPIRED
        return InvitationStatus.PENDING

    def accept(self, user_id: UserId, at: datetime) -> None:
        """Record the acceptance. Raises InvitationEnded unless the invitation is pending."""
        self.refuse_unless_pending(at)
        self.accepted_at, self.accepted_by = at, user_id

    def refuse_unless_pending(self, at: datetime) -> None:
        """Raise InvitationEnded unless the invitation can be accepted."""
        self._refuse_unless(at, "accepted", InvitationStatus.PENDING)

    def cancel(self, at: datetime) -> None:
        """Cancel the invitation, even an expired one, so that it leaves the list.

        Raises InvitationEnded if it was accepted or cancelled.
        """
        self._refuse_unless(at, "cancelled", InvitationStatus.PENDING, InvitationStatus.EXPIRED)
        self.cancelled_at = at

    def renew(self, token_hash: bytes, by: UserId, via: UserId | None, at: datetime) -> None:
        """Renew the invitation for its original duration. The earlier token becomes invalid.

        The resender becomes the inviter, because an extension counts as giving. Raises InvitationEnded if
        the invitation was accepted or cancelled.
        """
        self._refuse_unless(at, "sent again", InvitationStatus.PENDING, InvitationStatus.EXPIRED)
        self.expires_at = at + (self.expires_at - self.sent_at)
        self.lapsed_at = None
        self.sent_at, self.times_sent = at, min(self.times_sent + 1, MOST_TIMES_SENT)
        self.token_hash, self.invited_by, self.invited_via = token_hash, by, via

    def replace_offer(self, role: RoleId, other: RoleId | None) -> None:
        """Replace the offered role by another one, or remove it if `other` is None."""
        kept = [offer for offer in self.offers if offer.role != role]
        if other is not None and other not in self.roles:
            kept.append(InvitationRole(role=other))
        self.offers = kept

    def lapse(self) -> None:
        """End an expired invitation. It stays listed as expired."""
        self.lapsed_at = self.expires_at

    def _refuse_unless(self, at: datetime, wanted: str, *allowed: InvitationStatus) -> None:
        if (status := self.status(at)) not in allowed:
            raise InvitationEnded(invitation=self.id, status=status, wanted=wanted)
