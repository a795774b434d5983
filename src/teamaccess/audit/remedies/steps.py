"""The single changes that can give a user an action. Each runs the same code as the API."""

import shlex
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from teamaccess.catalog import Catalog
from teamaccess.changes import OrganizationChange
from teamaccess.directory.invitations.offer import authorize_inviter, cancel, invite
from teamaccess.directory.members import act
from teamaccess.directory.members.administrators import grant_administrator
from teamaccess.directory.members.find import get_member
from teamaccess.directory.resources.grant_rows import GrantKey, grant_key_of, grants_on
from teamaccess.directory.resources.grants import replace_grants
from teamaccess.directory.teams.places import put
from teamaccess.relationships import ObjectReference, Touch
from teamaccess.storage import (
    HolderKind,
    Invitation,
    Membership,
    OrganizationId,
    ResourceId,
    RoleAssignment,
    RoleId,
    TeamId,
    UserId,
)

Act = Callable[[OrganizationChange], Awaitable[object]]
"""Makes the change as its actor; raises the error with which it is refused."""


@dataclass(frozen=True)
class Step:
    """One change."""

    change: str
    """The kind of change."""
    sentence: str
    operation: str | None
    """The operation whose guard the actor needs; None if only the user themselves can take the step."""
    act: Act
    role: str | None = None
    team: str | None = None
    resource: ObjectReference | None = None
    invitation: str | None = None
    command: str | None = None
    """The command with which an operator makes it."""


@dataclass(frozen=True)
class RemedyTarget:
    """The user who lacks an action in an organization. Its methods return the steps that can help."""

    organization: OrganizationId
    user: UserId
    email: str | None
    display_name: str
    """The user's name in sentences; an id if the organization never had the user."""

    def __str__(self) -> str:
        return self.display_name

    def reactivate(self) -> Step:
        """Return the step that ends their suspension."""

        async def reactivate(change: OrganizationChange) -> None:
            await act.reactivate(change, self.user)

        return Step("reactivate", f"Reactivate {self}.", "reactivate", reactivate)

    def remove_end(self) -> Step:
        """Return the step that removes the end of their expired membership."""

        async def remove_end(change: OrganizationChange) -> None:
            await act.change_end(change, self.user, None)

        sentence = f"Remove the end of the membership of {self}."
        return Step("change_end", sentence, "change_roles", remove_end)

    def give_role(self, role: str) -> Step:
        """Return the step that adds a role. Their other roles keep their expiries."""

        async def give_role(change: OrganizationChange) -> None:
            member = await get_member(change.session, self.organization, self.user)
            held = {
                each.role: each.expires_at for each in member.assignments if each.active(change.now)
            }
            roles = {**held, RoleId(role): None}
            await act.change_member_roles(change, self.user, roles)

        return Step(
            "give_role", f"Give {self} the role {role}.", "change_roles", give_role, role=role
        )

    def join_team(self, team: str) -> Step:
        """Return the step that puts them into a team."""

        async def join_team(change: OrganizationChange) -> None:
            await put(change, TeamId(team), self.user, None)

        return Step(
            "join_team", f"Put {self} into the team {team}.", "manage_teams", join_team, team=team
        )

    def grant(self, action: str, on: ObjectReference) -> Step:
        """Return the step that grants one action on one object, in addition to the existing grants."""
        key = on.type, ResourceId(on.id.partition("/")[2])

        async def grant(change: OrganizationChange) -> None:
            before = await grants_on(change.session, self.organization, key)
            ends = {
                grant_key_of(each): each.expires_at for each in before if each.active(change.now)
            }
            grants = {**ends, GrantKey(action, HolderKind.USER, self.user): None}
            await replace_grants(change, key, grants)

        sentence = f"Grant {self} {action} on {on}."
        return Step("grant", sentence, "register_resources", grant, resource=on)

    def invite(self, email: str, role: str, key: bytes) -> Step:
        """Return the step that invites them with a role."""

        async def offer(change: OrganizationChange) -> None:
            await invite(change, email, [RoleId(role)], key)

        sentence = f"Invite {self} with the role {role}, and have them accept."
        return Step("invite", sentence, "invite", offer, role=role)

    def cancel_invitation(self, invitation: Invitation) -> Step:
        """Return the step that cancels their invitation, so that they can be invited again."""

        async def withdraw(change: OrganizationChange) -> None:
            await cancel(change, invitation.id)

        sentence = f"Cancel the invitation {invitation.id} of {self}."
        return Step(
            "cancel_invitation",
            sentence,
            "cancel_invitation",
            withdraw,
            invitation=invitation.id,
        )

    def accept_invitation(self, invitation: Invitation) -> Step:
        """Return the step that accepts the invitation. It checks the inviter again."""

        async def accept(change: OrganizationChange) -> None:
            invitation.refuse_unless_pending(change.now)
            await authorize_inviter(change, invitation)

        sentence = f"Have {self} accept the invitation {invitation.id}."
        return Step("accept_invitation", sentence, None, accept, invitation=invitation.id)

    def make_administrator(self, email: str, role: str) -> Step:
        """Return the step with which an operator makes them an administrator."""

        async def make(change: OrganizationChange) -> None:
            await grant_administrator(change, self.organization, email, "rehearsed")

        where = shlex.join(["teamaccess", "operator", "grant-administrator", self.organization])
        address = shlex.quote(email) if self.display_name == email else "EMAIL"
        command = f"{where} {address} --reason TEXT"
        sentence = f"Make {self} administrator."
        return Step("grant_administrator", sentence, None, make, role=role, command=command)

    def membership_updates(self, catalog: Catalog, roles: Iterable[str]) -> list[str]:
        """Return the updates that add the membership and these roles."""
        columns = {"organization_id": self.organization, "user_id": self.user, "expires_at": None}
        rows: list[Membership | RoleAssignment] = [Membership(**columns, suspended_at=None)]
        rows += [
            RoleAssignment(**columns, role=RoleId(role), custom=role not in catalog.roles)
            for role in roles
        ]
        return [str(Touch(each)) for row in rows for each in row.relationships()]
