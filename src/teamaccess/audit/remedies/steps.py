"""The single changes that can give somebody an action, each made as the API makes it."""

import shlex
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from teamaccess.catalog import Catalog
from teamaccess.changes import OrganizationChange
from teamaccess.directory.invitations.offer import authorize_inviter, cancel, invite
from teamaccess.directory.members import act
from teamaccess.directory.members.administrators import grant_administrator
from teamaccess.directory.members.find import get_member
from teamaccess.directory.resources.grants import GrantKey, grants_on, key_of, replace_grants
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
"""Makes the change as its actor; raises what refuses it."""


@dataclass(frozen=True)
class Step:
    """One change."""

    change: str
    """What kind of change it is."""
    sentence: str
    operation: str | None
    """The operation whose guard it takes; None where it is nobody's to decide but their own."""
    act: Act
    role: str | None = None
    team: str | None = None
    resource: ObjectReference | None = None
    invitation: str | None = None
    command: str | None = None
    """How whoever runs the service makes it."""


@dataclass(frozen=True)
class RemedyTarget:
    """Somebody who lacks an action, and where."""

    organization: OrganizationId
    user: UserId
    email: str | None
    called: str
    """What they are called in this organization: an id, where it knows no more of them."""

    def __str__(self) -> str:
        return self.called

    def reactivated(self) -> Step:
        """They are suspended, and no longer."""

        async def reactivate(change: OrganizationChange) -> None:
            await act.reactivate(change, self.user)

        return Step("reactivate", f"Reactivate {self}.", "reactivate", reactivate)

    def kept(self) -> Step:
        """Their membership has come to its end, and has none any more."""

        async def keep(change: OrganizationChange) -> None:
            await act.change_end(change, self.user, None)

        sentence = f"Let the membership of {self} go on without an end."
        return Step("change_end", sentence, "change_roles", keep)

    def given(self, role: str) -> Step:
        """They have a role beside those that they have, which keep their ends."""

        async def give(change: OrganizationChange) -> None:
            member = await get_member(change.session, self.organization, self.user)
            held = {
                each.role: each.expires_at for each in member.assignments if each.active(change.now)
            }
            roles = {**held, RoleId(role): None}
            await act.change_roles(change, self.user, roles)

        return Step("give_role", f"Give {self} the role {role}.", "change_roles", give, role=role)

    def put_into(self, team: str) -> Step:
        """They are in a team."""

        async def join(change: OrganizationChange) -> None:
            await put(change, TeamId(team), self.user, None)

        return Step(
            "join_team", f"Put {self} into the team {team}.", "manage_teams", join, team=team
        )

    def granted(self, verb: str, on: ObjectReference) -> Step:
        """They have one action on one object, beside what is granted there already."""
        key = on.type, ResourceId(on.id.partition("/")[2])

        async def grant(change: OrganizationChange) -> None:
            before = await grants_on(change.session, self.organization, key)
            ends = {key_of(each): each.expires_at for each in before if each.active(change.now)}
            wanted = {**ends, GrantKey(verb, HolderKind.USER, self.user): None}
            await replace_grants(change, key, wanted)

        sentence = f"Grant {self} {verb} on {on}."
        return Step("grant", sentence, "register_resources", grant, resource=on)

    def invited(self, email: str, role: str, key: bytes) -> Step:
        """They are no member, and become one with a role once they accept."""

        async def offer(change: OrganizationChange) -> None:
            await invite(change, email, [RoleId(role)], key)

        sentence = f"Invite {self} with the role {role}, and have them accept."
        return Step("invite", sentence, "invite", offer, role=role)

    def uninvited(self, invitation: Invitation) -> Step:
        """What they are offered is withdrawn, so that they can be offered something else."""

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

    def accepting(self, invitation: Invitation) -> Step:
        """They accept what they are offered; the inviter is asked about again, as it will be then."""

        async def accept(change: OrganizationChange) -> None:
            invitation.refuse_unless_pending(change.now)
            await authorize_inviter(change, invitation)

        sentence = f"Have {self} accept the invitation {invitation.id}."
        return Step("accept_invitation", sentence, None, accept, invitation=invitation.id)

    def made_administrator(self, email: str, role: str) -> Step:
        """They are administrator, which whoever runs the service can make anybody."""

        async def make(change: OrganizationChange) -> None:
            await grant_administrator(change, self.organization, email, "rehearsed")

        where = shlex.join(["teamaccess", "operator", "grant-administrator", self.organization])
        address = shlex.quote(email) if self.called == email else "EMAIL"
        command = f"{where} {address} --reason TEXT"
        sentence = f"Make {self} administrator."
        return Step("grant_administrator", sentence, None, make, role=role, command=command)

    def joined(self, catalog: Catalog, roles: Iterable[str]) -> list[str]:
        """Return the updates that an acceptance comes to."""
        here = {"organization_id": self.organization, "user_id": self.user, "expires_at": None}
        rows: list[Membership | RoleAssignment] = [Membership(**here, suspended_at=None)]
        rows += [
            RoleAssignment(**here, role=RoleId(role), custom=role not in catalog.roles)
            for role in roles
        ]
        return [str(Touch(each)) for row in rows for each in row.relationships()]
