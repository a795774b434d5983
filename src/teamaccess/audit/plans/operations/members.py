"""Operations on members: join, roles, the end of a membership, suspend, reactivate, remove."""

from teamaccess.access.authorize import authorize
from teamaccess.audit.plans.operations.base import (
    DisplayName,
    End,
    LocalId,
    PlanContext,
    Proposed,
    ProposedRoles,
    UserReference,
    ends_by_role,
    find_user_id,
)
from teamaccess.changes import OrganizationChange
from teamaccess.common.errors import Forbidden
from teamaccess.common.text import LONGEST_NAME, clean
from teamaccess.directory.members import act
from teamaccess.directory.members.imports import Newcomer, join
from teamaccess.directory.users.addresses import normalize_email
from teamaccess.storage import Channel, RoleId, UserId


class OnlyOperatorsAdd(Forbidden):
    """A member adds another member without an invitation."""

    message = (
        "Only operators of this service add members without an invitation. Propose `invite` "
        "instead."
    )


class AddMember(Proposed, tag="add_member", frozen=True):
    """A person joins without an invitation. A member stays as they are."""

    email: UserReference
    role: LocalId
    name: DisplayName | None = None

    async def make(self, change: OrganizationChange, context: PlanContext) -> None:
        """Make the person a member."""
        await authorize(change, "invite")
        if change.attribution.channel is not Channel.OPERATOR:
            raise OnlyOperatorsAdd
        name = clean("name", self.name, LONGEST_NAME) if self.name is not None else None
        id = UserId(context.new_id(change, "usr"))
        newcomer = Newcomer(normalize_email(self.email), name, RoleId(self.role), id)
        await join(change, change.organization, [newcomer])


class SetRoles(Proposed, tag="set_roles", frozen=True):
    """A member holds exactly these roles."""

    user: UserReference
    roles: ProposedRoles

    async def make(self, change: OrganizationChange, context: PlanContext) -> None:
        """Replace the roles."""
        member = await find_user_id(change, self.user)
        await act.change_member_roles(change, member, ends_by_role(self.roles))


class SetMembershipEnd(Proposed, tag="set_membership_end", frozen=True, kw_only=True):
    """A membership ends at a time; null removes the end."""

    user: UserReference
    expires_at: End

    async def make(self, change: OrganizationChange, context: PlanContext) -> None:
        """Set or remove the end."""
        member = await find_user_id(change, self.user)
        await act.change_end(change, member, self.expires_at)


class Suspend(Proposed, tag="suspend", frozen=True):
    """A member can do nothing and keeps their roles."""

    user: UserReference

    async def make(self, change: OrganizationChange, context: PlanContext) -> None:
        """Suspend the member."""
        member = await find_user_id(change, self.user)
        await act.suspend(change, member)


class Reactivate(Proposed, tag="reactivate", frozen=True):
    """A suspended member is active again, with their roles."""

    user: UserReference

    async def make(self, change: OrganizationChange, context: PlanContext) -> None:
        """Reactivate the member."""
        member = await find_user_id(change, self.user)
        await act.reactivate(change, member)


class Remove(Proposed, tag="remove", frozen=True):
    """A member is removed."""

    user: UserReference

    async def make(self, change: OrganizationChange, context: PlanContext) -> None:
        """Remove the member."""
        member = await find_user_id(change, self.user)
        await act.remove_member(change, member)
