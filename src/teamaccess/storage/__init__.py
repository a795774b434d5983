"""The tables. A row enforces its own rules and yields the relationships that it stands for."""

from teamaccess.storage.base import AttestedRow, Base
from teamaccess.storage.directory.access_request import AccessRequest, AccessRequestStatus
from teamaccess.storage.directory.credential import ApiToken, IdempotencyKey
from teamaccess.storage.directory.custom_role import CustomRole, CustomRoleAction
from teamaccess.storage.directory.held_role import HeldRole, RoleAssignment
from teamaccess.storage.directory.invitation import Invitation, InvitationRole, InvitationStatus
from teamaccess.storage.directory.membership import Activity, Membership, MembershipStatus
from teamaccess.storage.directory.organization import Organization
from teamaccess.storage.directory.resource import Grant, HolderKind, Resource
from teamaccess.storage.directory.team import Team, TeamMembership, TeamRole
from teamaccess.storage.directory.user import Auditor, User, UserKind
from teamaccess.storage.ids import (
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
from teamaccess.storage.records.engine_run import (
    EngineRun,
    RunKind,
    RunPhase,
    SchemaVersion,
    WatchCursor,
    WatchedLedger,
)
from teamaccess.storage.records.event import Event, EventHead, Reason
from teamaccess.storage.records.finding import Finding, FindingKind, Reconciliation
from teamaccess.storage.records.ledger import (
    DONE,
    ApplicationStatus,
    Channel,
    LedgerApplication,
    LedgerEntry,
    LedgerHead,
    LedgerNote,
)
from teamaccess.storage.source import RelationshipSource

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
