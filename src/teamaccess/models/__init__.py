"""The rows: one table a file, each with its rules as methods and the relationships it stands for."""

from teamaccess.models.activity import Activity
from teamaccess.models.base import Base
from teamaccess.models.event import Event, EventHead
from teamaccess.models.idempotency_key import IdempotencyKey
from teamaccess.models.ids import (
    InvitationId,
    OrganizationId,
    RoleId,
    UserId,
    is_local_id,
    is_organization_id,
    new_invitation_id,
    new_user_id,
)
from teamaccess.models.invitation import Invitation, InvitationStatus
from teamaccess.models.invitation_role import InvitationRole
from teamaccess.models.ledger_entry import (
    ApplicationStatus,
    Channel,
    LedgerApplication,
    LedgerEntry,
    LedgerHead,
)
from teamaccess.models.ledger_note import LedgerNote
from teamaccess.models.membership import Membership, MembershipStatus
from teamaccess.models.organization import Organization
from teamaccess.models.reason import Reason
from teamaccess.models.role_assignment import RoleAssignment
from teamaccess.models.source import RelationshipSource
from teamaccess.models.user import User

__all__ = [
    "Activity",
    "ApplicationStatus",
    "Base",
    "Channel",
    "Event",
    "EventHead",
    "IdempotencyKey",
    "Invitation",
    "InvitationId",
    "InvitationRole",
    "InvitationStatus",
    "LedgerApplication",
    "LedgerEntry",
    "LedgerHead",
    "LedgerNote",
    "Membership",
    "MembershipStatus",
    "Organization",
    "OrganizationId",
    "Reason",
    "RelationshipSource",
    "RoleAssignment",
    "RoleId",
    "User",
    "UserId",
    "is_local_id",
    "is_organization_id",
    "new_invitation_id",
    "new_user_id",
]
