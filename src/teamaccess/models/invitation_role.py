"""A role that an invitation offers."""

from sqlalchemy import CheckConstraint, ForeignKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from teamaccess.models.base import Base
from teamaccess.models.ids import ROLE_PATTERN, InvitationId, OrganizationId, RoleId


class InvitationRole(Base):
    """A role that an invitation offers; it means nothing until the invitation is accepted."""

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
