"""The rows: one table a file, each with its rules as methods and the relationships it stands for."""

from teamaccess.models.activity import Activity
from teamaccess.models.base import Base
from teamaccess.models.event import Event, EventHead
from teamaccess.models.finding import Finding, FindingKind
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
    DONE,
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
from teamaccess.models.reconciliation import Reconciliation
from teamaccess.models.role_assignment import RoleAssignment
from teamaccess.models.source import RelationshipSource
from teamaccess.models.user import User
from teamaccess.models.watch_cursor import WatchCursor

__all__ = [
    "DONE",
    "Activity",
    "ApplicationStatus",
    "Base",
    "Channel",
    "Event",
    "EventHead",
    "Finding",
    "FindingKind",
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
    "Reconciliation",
    "RelationshipSource",
    "RoleAssignment",
    "RoleId",
    "User",
    "UserId",
    "WatchCursor",
    "is_local_id",
    "is_organization_id",
    "new_invitation_id",
    "new_user_id",
]
