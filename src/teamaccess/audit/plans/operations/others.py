"""Operations on invitations, service accounts, access requests and the organization's name."""

from datetime import timedelta
from typing import Annotated

import msgspec

from teamaccess.access.authorize import RoleTwice
from teamaccess.audit.plans.operations.base import (
    DisplayName,
    LocalId,
    PlanContext,
    Proposed,
    ProposedRoles,
    UserReference,
    ends_by_role,
)
from teamaccess.changes import OrganizationChange
from teamaccess.directory.access_requests import decide
from teamaccess.directory.invitations import offer
from teamaccess.directory.invitations.find import open_invitation
from teamaccess.directory.organizations.create import rename_organization
from teamaccess.directory.service_accounts import accounts, tokens
from teamaccess.directory.users.addresses import InvalidEmail, normalize_email
from teamaccess.storage import InvitationId, RequestId, RoleId, TokenId, UserId


class Invite(Proposed, tag="invite", frozen=True):
    """A person is invited. The mail is sent when the change is made."""

    email: UserReference
    roles: Annotated[list[LocalId], msgspec.Meta(min_length=1, max_length=100)]
    expires_in_hours: Annotated[int, msgspec.Meta(ge=1, le=30 * 24)] = 7 * 24

    async def make(self, change: OrganizationChange, context: PlanContext) -> None:
        """Invite the person."""
        for role in self.roles:
            if self.roles.count(role) > 1:
                raise RoleTwice(role=role)
        roles, life = [RoleId(role) for role in self.roles], timedelta(hours=self.expires_in_hours)
        id = InvitationId(context.new_id(change, "inv"))
        invitations = context.invitations
        letter = await offer.invite(change, self.email, roles, invitations.key, life, id)
        await change.session.flush()
        if invitations.send is not None:
            await invitations.send(change, letter)


class ResendInvitation(Proposed, tag="resend_invitation", frozen=True):
    """An invitation is sent again. It is named by its id or its address."""

    invitation: UserReference

    async def make(self, change: OrganizationChange, context: PlanContext) -> None:
        """Send the invitation again."""
        letter = await offer.resend(change, await _invitation(change, self.invitation))
        if context.invitations.send is not None:
            await context.invitations.send(change, letter)


class CancelInvitation(Proposed, tag="cancel_invitation", frozen=True):
    """An invitation is cancelled. It is named by its id or its address."""

    invitation: UserReference

    async def make(self, change: OrganizationChange, context: PlanContext) -> None:
        """Cancel the invitation."""
        await offer.cancel(change, await _invitation(change, self.invitation))


class CreateServiceAccount(Proposed, tag="create_service_account", frozen=True):
    """A service account with these roles is created. It has no token yet."""

    name: DisplayName
    roles: ProposedRoles

    async def make(self, change: OrganizationChange, context: PlanContext) -> None:
        """Create the service account."""
        id = UserId(context.new_id(change, "sa"))
        await accounts.create_service_account(change, self.name, ends_by_role(self.roles), id)


class DeleteServiceAccount(Proposed, tag="delete_service_account", frozen=True):
    """A service account is deleted, with its tokens."""

    account: LocalId

    async def make(self, change: OrganizationChange, context: PlanContext) -> None:
        """Delete the service account."""
        await accounts.delete(change, UserId(self.account))


class RevokeToken(Proposed, tag="revoke_token", frozen=True):
    """A token of a service account is revoked."""

    account: LocalId
    token: LocalId

    async def make(self, change: OrganizationChange, context: PlanContext) -> None:
        """Revoke the token."""
        await tokens.revoke(change, UserId(self.account), TokenId(self.token))


class ApproveRequest(Proposed, tag="approve_request", frozen=True):
    """An access request is approved, perhaps for fewer hours or with another role."""

    request: LocalId
    hours: Annotated[int, msgspec.Meta(ge=1)] | None = None
    role: LocalId | None = None

    async def make(self, change: OrganizationChange, context: PlanContext) -> None:
        """Approve the request."""
        role = RoleId(self.role) if self.role is not None else None
        await decide.approve(change, RequestId(self.request), self.hours, role)


class DeclineRequest(Proposed, tag="decline_request", frozen=True):
    """An access request is declined."""

    request: LocalId

    async def make(self, change: OrganizationChange, context: PlanContext) -> None:
        """Decline the request."""
        await decide.decline(change, RequestId(self.request))


class RenameOrganization(Proposed, tag="rename_organization", frozen=True):
    """The organization has another name."""

    name: DisplayName

    async def make(self, change: OrganizationChange, context: PlanContext) -> None:
        """Rename the organization."""
        await rename_organization(change, self.name)


async def _invitation(change: OrganizationChange, id_or_email: str) -> InvitationId:
    """Return the id of the open invitation to an address; anything else is returned unchanged."""
    try:
        address = normalize_email(id_or_email)
    except InvalidEmail:
        return InvitationId(id_or_email)
    found = await open_invitation(change.session, change.organization, address)
    return found.id if found is not None else InvitationId(id_or_email)
