"""An organization in a test: its people, what they do over the API, and what the rows say."""

import asyncio
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
from sqlalchemy import select, update

from teamaccess.changes.events import record
from teamaccess.changes.events.members import MembershipEndChanged
from teamaccess.directory.invitations.limits import counted_mailbox
from teamaccess.directory.users.tokens import LONGEST_LIFE, Audience, issue_access_token
from teamaccess.storage import (
    Activity,
    CustomRole,
    CustomRoleAction,
    Event,
    Invitation,
    InvitationId,
    InvitationRole,
    LedgerEntry,
    Membership,
    OrganizationId,
    RoleAssignment,
    RoleId,
    User,
    UserId,
    new_user_id,
)
from tests.support.people import Person, ServiceAccount
from tests.support.responses import refused

if TYPE_CHECKING:
    from tests.support.deployment import Deployment


@dataclass
class Organization:
    """An organization and its people. Where a method takes `by`, the administrator is the default."""

    deployment: "Deployment"
    id: OrganizationId
    administrator: Person
    people: dict[str, Person] = field(default_factory=dict)
    """Members by first name."""

    @property
    def path(self) -> str:
        """The organization's address in the API."""
        return f"/v1/organizations/{self.id}"

    def address(self, name: str) -> str:
        """The email address of a person with this first name."""
        return f"{name}@{self.id}.example"

    # Over the API, as people do it

    async def member(self, name: str, roles: list[str]) -> Person:
        """Invite a person and let them accept. Returns them signed in."""
        invited = await self.invite(name, roles)
        assert invited.status_code == 201, invited.text
        accepted = (await self.accept(name)).raise_for_status().json()
        person = Person(
            self.deployment, UserId(accepted["user"]), self.address(name), accepted["access_token"]
        )
        self.people[name] = person
        return person

    async def invite(
        self, name: str, roles: list[str], by: Person | None = None, **more: Any
    ) -> httpx.Response:
        """Invite a person by first name."""
        return await (by or self.administrator).ask(
            "POST",
            f"{self.path}/invitations",
            json={"email": self.address(name), "roles": roles, **more},
        )

    async def accept(self, name: str, **more: Any) -> httpx.Response:
        """Accept the newest invitation to a person, with the token from its mail."""
        token = self.deployment.invitation_token(self.address(name))
        return await self.deployment.http.post(
            "/v1/invitations/accept", json={"token": token, "name": name.title()}, **more
        )

    async def change_roles(
        self, member: Person, *roles: str, by: Person | None = None, **more: Any
    ) -> httpx.Response:
        """Replace a member's roles."""
        return await (by or self.administrator).ask(
            "PUT",
            f"{self.path}/members/{member.id}/roles",
            json={"roles": [{"role": role} for role in roles]},
            **more,
        )

    async def suspend(self, member: Person, by: Person | None = None) -> httpx.Response:
        """Suspend a member."""
        return await self.change_status("suspend", member, by)

    async def reactivate(self, member: Person, by: Person | None = None) -> httpx.Response:
        """Reactivate a suspended member."""
        return await self.change_status("reactivate", member, by)

    async def remove(self, member: Person, by: Person | None = None) -> httpx.Response:
        """Remove a member."""
        return await self.change_status("remove", member, by)

    async def change_status(
        self, verb: str, member: Person, by: Person | None = None
    ) -> httpx.Response:
        """`suspend`, `reactivate` or `remove` a member, for tests that are run with each verb."""
        caller = by or self.administrator
        if verb == "remove":
            return await caller.ask("DELETE", f"{self.path}/members/{member.id}")
        return await caller.ask("POST", f"{self.path}/members/{member.id}/{verb}")

    async def create_service_account(self, *roles: str, by: Person | None = None) -> ServiceAccount:
        """Create a service account with these roles. It has no token yet."""
        body = {"name": "Nightly job", "roles": list(roles)}
        answer = await (by or self.administrator).ask(
            "POST", f"{self.path}/service-accounts", json=body
        )
        assert answer.status_code == 201, answer.text
        return ServiceAccount(self.deployment, UserId(answer.json()["id"]), "", "", self)

    async def add_service_account(self, *roles: str) -> ServiceAccount:
        """Create a service account with these roles and a token."""
        account = await self.create_service_account(*roles)
        await account.create_token()
        return account

    async def add_backend_account(self, *actions: str) -> ServiceAccount:
        """Create a service account that may act on behalf of members, within these actions."""
        act_on_behalf = self.deployment.service.catalog.guards["act_on_behalf"]
        role = await self.add_custom_role("backend", act_on_behalf, *actions)
        return await self.add_service_account(role)

    # Questions

    async def can(
        self, user: Person, permission: str, at: str | None = None, on: str | None = None
    ) -> bool:
        """Ask SpiceDB, as a service does, at a ZedToken or fully consistent.

        `on` names a resource, as in `webhook:wh_1`. Then `permission` is one of its type.
        """
        resource = None
        if on is not None:
            type, _, id = on.partition(":")
            resource = f"{type}:{self.id}/{id}"
        return await self.deployment.check(self.id, user.id, permission, at, resource)

    async def ledger(self) -> list[list[str]]:
        """The updates of every position, in order."""
        async with self.deployment.service.sessions() as session:
            rows = await session.scalars(
                select(LedgerEntry.updates)
                .where(LedgerEntry.organization_id == self.id)
                .order_by(LedgerEntry.position)
            )
            return [list(row) for row in rows]

    async def events(self) -> list[Event]:
        """The organization's chain of events, in order."""
        return await self.deployment.events(self.id)

    async def roles_by_member(self) -> dict[str, list[str]]:
        """The roles of each member by user id, read from the rows."""
        async with self.deployment.service.reads() as session:
            rows = await session.execute(
                select(Membership.user_id, RoleAssignment.role)
                .outerjoin(
                    RoleAssignment,
                    (RoleAssignment.organization_id == Membership.organization_id)
                    & (RoleAssignment.user_id == Membership.user_id),
                )
                .where(Membership.organization_id == self.id)
                .order_by(Membership.user_id, RoleAssignment.role)
            )
            roles: dict[str, list[str]] = {}
            for user, role in rows:
                roles.setdefault(user, []).extend([role] if role else [])
            return roles

    async def invitation(self, id: str) -> Invitation:
        """The row of an invitation."""
        async with self.deployment.service.reads() as session:
            return await session.get_one(Invitation, (self.id, InvitationId(id)))

    # Rows that an operator writes, in one change: faster than the API, and into the past

    async def add_members(
        self, people: Mapping[str, Sequence[str]], suspended: Sequence[str] = ()
    ) -> dict[str, Person]:
        """Add members with these roles in one change. Returns them by name, signed in."""
        added = {}
        async with self.deployment.operator(self.id) as change:
            for name, roles in people.items():
                user = User(id=new_user_id(), email=self.address(name), name=name.title())
                change.session.add(
                    Membership(
                        organization_id=self.id,
                        user=user,
                        suspended_at=change.now if name in suspended else None,
                        assignments=[RoleAssignment(role=RoleId(role)) for role in roles],
                    )
                )
                added[name] = user
        keys, now = self.deployment.service.keys, await self.deployment.service.now()
        for name, user in added.items():
            token = issue_access_token(keys, Audience.USER, user.id, now, LONGEST_LIFE)
            self.people[name] = Person(self.deployment, user.id, user.email or "", token)
        return {name: self.people[name] for name in people}

    async def add_users(self, **people: Iterable[str]) -> list[UserId]:
        """Add members with these roles in one change, for tests that need only their ids."""
        suffix = secrets.token_hex(6)  # so that a test can use a name twice
        members = {f"{name}-{suffix}": list(roles) for name, roles in people.items()}
        return [person.id for person in (await self.add_members(members)).values()]

    async def add_custom_role(self, id: str, *actions: str, holders: Iterable[Person] = ()) -> str:
        """Add a custom role that allows these actions, and assign it to the holders. Returns its id.

        `tests/stories/custom_roles.py` creates roles over the API instead.
        """
        async with self.deployment.operator(self.id) as change:
            allowed = [CustomRoleAction(action=action) for action in actions]
            role = CustomRole(
                organization_id=self.id, id=RoleId(id), name=id.title(), allowed=allowed
            )
            change.session.add(role)
            await change.session.flush()
            for holder in holders:
                assignment = RoleAssignment(
                    organization_id=self.id, user_id=holder.id, role=RoleId(id), custom=True
                )
                change.session.add(assignment)
        return id

    async def set_role_expiry(self, member: Person, role: str, at: datetime | None) -> None:
        """Set when a member's role expires. The time may be past."""
        async with self.deployment.operator(self.id) as change:
            assignment = await change.session.get_one(
                RoleAssignment, (self.id, member.id, RoleId(role))
            )
            assignment.expires_at = at

    async def set_membership_expiry(self, member: Person, at: datetime | None) -> None:
        """Set when a membership expires. The time may be past."""
        async with self.deployment.operator(self.id) as change:
            membership = await change.session.get_one(Membership, (self.id, member.id))
            before, membership.expires_at = membership.expires_at, at
            if membership.suspended_at is not None:
                details = MembershipEndChanged(before=before, after=at)
                await record(change, details, self.id, member.id)

    async def set_joined_at(self, member: Person, at: datetime) -> None:
        """Set when a member joined."""
        statement = (
            "UPDATE memberships SET joined_at = $3 WHERE organization_id = $1 AND user_id = $2"
        )
        await self.deployment.execute_without_triggers(statement, self.id, member.id, at)

    async def set_external_id(self, person: Person, id: str) -> None:
        """Give a person an id of another system, as the `sub` of their login becomes one."""
        for statement in (
            "UPDATE users SET external_id = $2 WHERE id = $1",
            (
                "UPDATE attested_rows SET proof = identity_proof(u) FROM users u"
                " WHERE key = 'identity:' || u.id AND u.id = $1 AND u.external_id = $2"
            ),
        ):
            await self.deployment.execute_without_triggers(statement, person.id, id)

    async def set_last_activity(self, member: Person, at: datetime) -> None:
        """Set when a member was last active."""
        async with self.deployment.service.sessions.begin() as session:
            await session.execute(
                update(Activity)
                .where(Activity.organization_id == self.id, Activity.user_id == member.id)
                .values(last_active_at=at)
            )

    async def set_invitation_expiry(self, id: str, at: datetime) -> None:
        """Move an invitation in time, so that it expires then. The time may be past."""
        await self.backdate_invitation(id, (await self.invitation(id)).expires_at - at)

    async def backdate_invitation(self, id: str, by: timedelta) -> None:
        """Move the times of an invitation back by that much."""
        async with self.deployment.operator(self.id) as change:
            invitation = await change.session.get_one(Invitation, (self.id, InvitationId(id)))
            for column in ("created_at", "sent_at", "expires_at"):
                setattr(invitation, column, getattr(invitation, column) - by)
            mailbox = counted_mailbox(invitation.email)
        await self._attest_invitation(id)
        statement = (
            "UPDATE invitation_mails SET sent_at = sent_at - $3::interval"
            " WHERE organization_id = $1 AND mailbox = $2"
        )
        await self.deployment.execute_without_triggers(statement, self.id, mailbox, by)

    async def replace_offered_roles(self, id: str, roles: Sequence[str]) -> None:
        """Replace the roles of an invitation that was sent, as an older version might have."""
        async with self.deployment.operator(self.id) as change:
            invitation = await change.session.get_one(Invitation, (self.id, InvitationId(id)))
            invitation.offers = [InvitationRole(role=RoleId(role)) for role in roles]
        await self._attest_invitation(id)

    async def _attest_invitation(self, id: str) -> None:
        """Let the event about the invitation prove the row as it is now."""
        for kind in ("invitation", "offer"):
            statement = (
                f"UPDATE attested_rows SET proof = {kind}_proof(i) FROM invitations i"
                f" WHERE key = '{kind}:' || i.organization_id || '/' || i.id"
                " AND i.organization_id = $1 AND i.id = $2"
            )
            await self.deployment.execute_without_triggers(statement, self.id, id)

    async def wait_until_stopped(self) -> httpx.Response:
        """Change something until the answer is that the organization has stopped. Returns the answer.

        SpiceDB has refused an entry. On a busy machine its answer can take longer than a change waits.
        """
        async with asyncio.timeout(60):
            while True:
                answer = await self.invite("eve", ["product"])
                if answer.json()["code"] != "organization_busy":
                    refused(answer, 503, "organization_stopped")
                    return answer
