"""The rows: one table a file, each with its rules as methods and the relationships it stands for."""

from teamaccess.models.access_request import AccessRequest, AccessRequestStatus
from teamaccess.models.activity import Activity
from teamaccess.models.api_token import ApiToken
from teamaccess.models.attested_row import AttestedRow
from teamaccess.models.auditor import Auditor
from teamaccess.models.base import Base
from teamaccess.models.custom_role import CustomRole
from teamaccess.models.custom_role_action import CustomRoleAction
from teamaccess.models.engine_run import EngineRun, RunKind, RunPhase
from teamaccess.models.event import Event, EventHead
from teamaccess.models.finding import Finding, FindingKind
from teamaccess.models.grant import Grant, HolderKind
from teamaccess.models.held_role import HeldRole
from teamaccess.models.idempotency_key import IdempotencyKey
from teamaccess.models.ids import (
    InvitationId,
    OrganizationId,
    RequestId,
    ResourceId,
    RoleId,
    TeamId,
    TokenId,
    UserId,
    is_local_id,
    is_organization_id,
    is_role_id,
    new_invitation_id,
    new_request_id,
    new_service_account_id,
    new_token_id,
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
from teamaccess.models.resource import Resource
from teamaccess.models.role_assignment import RoleAssignment
from teamaccess.models.schema_version import SchemaVersion
from teamaccess.models.source import RelationshipSource
from teamaccess.models.team import Team
from teamaccess.models.team_membership import TeamMembership
from teamaccess.models.team_role import TeamRole
from teamaccess.models.user import User, UserKind
from teamaccess.models.watch_cursor import WatchCursor
from teamaccess.models.watched_ledger import WatchedLedger

__all__ = [
    "DONE",
    "AccessRequest",
    "AccessRequestStatus",
    "Activity",
    "ApiToken",
    "ApplicationStatus",
    "AttestedRow",
    "Auditor",
    "Base",
    "Channel",
    "CustomRole",
    "CustomRoleAction",
    "EngineRun",
    "Event",
    "EventHead",
    "Finding",
    "FindingKind",
    "Grant",
    "HeldRole",
    "HolderKind",
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
    "RequestId",
    "Resource",
    "ResourceId",
    "RoleAssignment",
    "RoleId",
    "RunKind",
    "RunPhase",
    "SchemaVersion",
    "Team",
    "TeamId",
    "TeamMembership",
    "TeamRole",
    "TokenId",
    "User",
    "UserId",
    "UserKind",
    "WatchCursor",
    "WatchedLedger",
    "is_local_id",
    "is_organization_id",
    "is_role_id",
    "new_invitation_id",
    "new_request_id",
    "new_service_account_id",
    "new_token_id",
    "new_user_id",
]
