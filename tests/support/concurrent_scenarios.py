"""Concurrent requests of two or three people in an organization, and the answers that are possible."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx

from tests.support.interleaving import Request
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.teams import Team


@dataclass(frozen=True)
class TwoProcesses:
    """An organization as two processes see it. Both can be the same process."""

    here: Organization
    there: Organization
    others: list[Organization] = field(default_factory=list)

    @property
    def ordinary_role(self) -> str:
        """A role that is not the administrators'."""
        return {"administrator": "support", "admin": "read"}[self.administrator_role]

    @property
    def administrator_role(self) -> str:
        """The role that holds every action."""
        return self.here.deployment.service.catalog.administrator

    async def elsewhere(self, name: str = "bob") -> tuple[Organization, Person]:
        """Create another organization with a member who is unknown in this one."""
        other = await self.here.deployment.create_organization("globex")
        self.others.append(other)
        return other, (await other.add_members({name: [self.ordinary_role]}))[name]

    async def another_administrator(self, name: str = "bob") -> Person:
        """Add another administrator."""
        return (await self.here.add_members({name: [self.administrator_role]}))[name]

    async def member(self, name: str = "bob") -> Person:
        """Add a member who is not an administrator."""
        return (await self.here.add_members({name: [self.ordinary_role]}))[name]

    @property
    def access_request_body(self) -> dict[str, object]:
        """The body of an access request for a role that the member lacks."""
        wanted = {"administrator": "developer", "admin": "write"}[self.administrator_role]
        return {"role": wanted, "reason": "a case", "duration_hours": 8}

    async def request_access(self, by: Person) -> str:
        """Request access. Returns the path of the access request."""
        path = f"{self.here.path}/access-requests"
        answer = await by.ask("POST", path, json=self.access_request_body)
        return f"{path}/{answer.raise_for_status().json()['id']}"

    async def send_invitation(self, address: str, by: Person | None = None) -> tuple[str, str]:
        """Invite an address. Returns the path of the invitation and the secret in its mail."""
        asked = await (by or self.here.administrator).ask(
            "POST",
            f"{self.here.path}/invitations",
            json={"email": address, "roles": [self.ordinary_role]},
        )
        id = asked.raise_for_status().json()["id"]
        return f"{self.here.path}/invitations/{id}", self.here.deployment.invitation_token(address)


def accept(organization: Organization, secret: str, by: Person | None = None) -> Request:
    """Accept an invitation, signed in or by its secret alone."""
    headers = {"Authorization": f"Bearer {by.token}"} if by else {}

    async def request() -> httpx.Response:
        return await organization.deployment.http.post(
            "/v1/invitations/accept", json={"token": secret}, headers=headers
        )

    return request


def ask(organization: Organization, by: Person, method: str, path: str, **more: object) -> Request:
    """A request to the organization's process."""
    person = Person(organization.deployment, by.id, by.email, by.token)
    return lambda: person.ask(method, path, **more)


def demote(organization: Organization, by: Person, target: Person, role: str) -> Request:
    """Replace all roles of a member by one."""
    path = f"{organization.path}/members/{target.id}/roles"
    return ask(organization, by, "PUT", path, json={"roles": [{"role": role}]})


async def demote_and_demote(processes: TwoProcesses) -> list[Request]:
    ana, bob = processes.here.administrator, await processes.another_administrator()
    return [
        demote(processes.here, ana, bob, processes.ordinary_role),
        demote(processes.there, bob, ana, processes.ordinary_role),
    ]


async def demote_in_a_ring(processes: TwoProcesses) -> list[Request]:
    ana, bob, eve = (
        processes.here.administrator,
        await processes.another_administrator(),
        await processes.another_administrator("eve"),
    )
    return [
        demote(processes.here, ana, bob, processes.ordinary_role),
        demote(processes.there, bob, eve, processes.ordinary_role),
        demote(processes.here, eve, ana, processes.ordinary_role),
    ]


async def leave_and_demote_the_other(processes: TwoProcesses) -> list[Request]:
    ana, bob = processes.here.administrator, await processes.another_administrator()
    return [
        ask(processes.here, ana, "POST", f"{processes.here.path}/leave"),
        demote(processes.there, ana, bob, processes.ordinary_role),
    ]


async def leave_and_be_demoted(processes: TwoProcesses) -> list[Request]:
    ana, bob = processes.here.administrator, await processes.another_administrator()
    return [
        ask(processes.here, ana, "POST", f"{processes.here.path}/leave"),
        demote(processes.there, bob, ana, processes.ordinary_role),
    ]


async def remove_and_change_roles(processes: TwoProcesses) -> list[Request]:
    ana, bob = processes.here.administrator, await processes.member()
    return [
        ask(processes.here, ana, "DELETE", f"{processes.here.path}/members/{bob.id}"),
        demote(
            processes.there,
            ana,
            bob,
            processes.administrator_role
            if processes.administrator_role == "admin"
            else "developer",
        ),
    ]


async def remove_and_leave(processes: TwoProcesses) -> list[Request]:
    ana, bob = processes.here.administrator, await processes.member()
    return [
        ask(processes.here, ana, "DELETE", f"{processes.here.path}/members/{bob.id}"),
        ask(processes.there, bob, "POST", f"{processes.here.path}/leave"),
    ]


async def delete_the_team_and_put_somebody_into_it(processes: TwoProcesses) -> list[Request]:
    ana, bob, pay = (
        processes.here.administrator,
        await processes.member(),
        await Team.create(processes.here, "pay", processes.ordinary_role),
    )
    return [
        ask(processes.here, ana, "DELETE", pay.path),
        ask(processes.there, ana, "PUT", f"{pay.path}/members/{bob.id}"),
    ]


async def remove_and_put_into_a_team(processes: TwoProcesses) -> list[Request]:
    ana, bob, pay = (
        processes.here.administrator,
        await processes.member(),
        await Team.create(processes.here, "pay", processes.ordinary_role),
    )
    return [
        ask(processes.here, ana, "DELETE", f"{processes.here.path}/members/{bob.id}"),
        ask(processes.there, ana, "PUT", f"{pay.path}/members/{bob.id}"),
    ]


async def create_two_teams_with_one_id(processes: TwoProcesses) -> list[Request]:
    ana, path, body = (
        processes.here.administrator,
        f"{processes.here.path}/teams",
        {"id": "pay", "name": "Pay"},
    )
    return [ask(each, ana, "POST", path, json=body) for each in (processes.here, processes.there)]


async def leave_the_team_and_be_put_into_it(processes: TwoProcesses) -> list[Request]:
    ana, bob, pay = (
        processes.here.administrator,
        await processes.member(),
        await Team.create(processes.here, "pay", processes.ordinary_role),
    )
    (await pay.add_member(bob)).raise_for_status()
    path = f"{pay.path}/members/{bob.id}"
    soon = datetime.now(UTC) + timedelta(days=1)
    body = {"expires_at": soon.isoformat()}
    return [
        ask(processes.here, bob, "DELETE", path),
        ask(processes.there, ana, "PUT", path, json=body),
    ]


async def suspend_and_reactivate(processes: TwoProcesses) -> list[Request]:
    ana, bob = processes.here.administrator, await processes.member()
    path = f"{processes.here.path}/members/{bob.id}"
    return [
        ask(processes.here, ana, "POST", f"{path}/suspend"),
        ask(processes.there, ana, "POST", f"{path}/reactivate"),
    ]


async def suspend_and_invite(processes: TwoProcesses) -> list[Request]:
    ana, bob = processes.here.administrator, await processes.another_administrator()
    body = {"email": processes.here.address("eve"), "roles": [processes.ordinary_role]}
    return [
        ask(processes.here, ana, "POST", f"{processes.here.path}/members/{bob.id}/suspend"),
        ask(processes.there, bob, "POST", f"{processes.here.path}/invitations", json=body),
    ]


async def invite_and_invite(processes: TwoProcesses) -> list[Request]:
    ana, bob = processes.here.administrator, await processes.another_administrator()
    body = {"email": processes.here.address("eve"), "roles": [processes.ordinary_role]}
    path = f"{processes.here.path}/invitations"
    return [
        ask(processes.here, ana, "POST", path, json=body),
        ask(processes.there, bob, "POST", path, json=body),
    ]


async def accept_and_cancel(processes: TwoProcesses) -> list[Request]:
    path, secret = await processes.send_invitation(processes.here.address("eve"))
    return [
        accept(processes.here, secret),
        ask(processes.there, processes.here.administrator, "DELETE", path),
    ]


async def accept_and_resend(processes: TwoProcesses) -> list[Request]:
    path, secret = await processes.send_invitation(processes.here.address("eve"))
    return [
        accept(processes.here, secret),
        ask(processes.there, processes.here.administrator, "POST", f"{path}/resend"),
    ]


async def accept_and_accept(processes: TwoProcesses) -> list[Request]:
    _, secret = await processes.send_invitation(processes.here.address("eve"))
    return [accept(processes.here, secret), accept(processes.there, secret)]


async def accept_and_accept_signed_in(processes: TwoProcesses) -> list[Request]:
    _, bob = await processes.elsewhere()
    _, secret = await processes.send_invitation(bob.email)
    return [accept(processes.here, secret, bob), accept(processes.there, secret, bob)]


async def accept_and_invite(processes: TwoProcesses) -> list[Request]:
    _, secret = await processes.send_invitation(processes.here.address("eve"))
    body = {"email": processes.here.address("eve"), "roles": [processes.ordinary_role]}
    again = ask(
        processes.there,
        processes.here.administrator,
        "POST",
        f"{processes.here.path}/invitations",
        json=body,
    )
    return [accept(processes.here, secret), again]


async def accept_and_suspend_the_inviter(processes: TwoProcesses) -> list[Request]:
    ana, bob = processes.here.administrator, await processes.another_administrator()
    _, secret = await processes.send_invitation(processes.here.address("eve"), by=bob)
    return [
        accept(processes.here, secret),
        ask(processes.there, ana, "POST", f"{processes.here.path}/members/{bob.id}/suspend"),
    ]


async def accept_and_remove_the_accepted(processes: TwoProcesses) -> list[Request]:
    _, bob = await processes.elsewhere()
    _, secret = await processes.send_invitation(bob.email)
    path = f"{processes.here.path}/members/{bob.id}"
    return [
        accept(processes.here, secret, bob),
        ask(processes.there, processes.here.administrator, "DELETE", path),
    ]


async def accept_and_be_suspended_elsewhere(processes: TwoProcesses) -> list[Request]:
    other, bob = await processes.elsewhere()
    _, secret = await processes.send_invitation(bob.email)
    path = f"{other.path}/members/{bob.id}/suspend"
    return [
        accept(processes.here, secret, bob),
        ask(processes.there, other.administrator, "POST", path),
    ]


async def accept_and_be_removed_elsewhere(processes: TwoProcesses) -> list[Request]:
    other, bob = await processes.elsewhere()
    _, secret = await processes.send_invitation(bob.email)
    path = f"{other.path}/members/{bob.id}"
    return [
        accept(processes.here, secret, bob),
        ask(processes.there, other.administrator, "DELETE", path),
    ]


async def accept_and_sign_out(processes: TwoProcesses) -> list[Request]:
    _, bob = await processes.elsewhere()
    _, secret = await processes.send_invitation(bob.email)
    return [
        accept(processes.here, secret, bob),
        ask(processes.there, bob, "POST", "/v1/me/sign-out"),
    ]


async def accept_and_end_the_organization(processes: TwoProcesses) -> list[Request]:
    _, secret = await processes.send_invitation(processes.here.address("eve"))
    return [
        accept(processes.here, secret),
        ask(processes.there, processes.here.administrator, "DELETE", processes.here.path),
    ]


async def invite_twice_with_one_key(processes: TwoProcesses) -> list[Request]:
    return [_invite_once(processes.here, "eve"), _invite_once(processes.there, "eve")]


async def invite_two_with_one_key(processes: TwoProcesses) -> list[Request]:
    return [_invite_once(processes.here, "bob"), _invite_once(processes.there, "eve")]


def _invite_once(organization: Organization, name: str) -> Request:
    body = {"email": organization.address(name), "roles": ["support"]}
    path, key = f"{organization.path}/invitations", {"Idempotency-Key": "k1"}
    return ask(organization, organization.administrator, "POST", path, json=body, headers=key)


async def create_organization_twice_with_one_key(processes: TwoProcesses) -> list[Request]:
    body, key = {"id": f"{processes.here.id}-b", "name": "B"}, {"Idempotency-Key": "k1"}
    ana = processes.here.administrator
    return 2 * [ask(processes.here, ana, "POST", "/v1/organizations", json=body, headers=key)]


async def approve_and_approve(processes: TwoProcesses) -> list[Request]:
    eve, where = (
        await processes.another_administrator("eve"),
        await processes.request_access(await processes.member()),
    )
    return [
        approve(processes.here, processes.here.administrator, where),
        approve(processes.there, eve, where),
    ]


async def approve_and_withdraw(processes: TwoProcesses) -> list[Request]:
    bob = await processes.member()
    where = await processes.request_access(bob)
    return [
        approve(processes.here, processes.here.administrator, where),
        ask(processes.there, bob, "POST", f"{where}/withdraw"),
    ]


async def approve_and_decline(processes: TwoProcesses) -> list[Request]:
    eve, where = (
        await processes.another_administrator("eve"),
        await processes.request_access(await processes.member()),
    )
    return [
        approve(processes.here, processes.here.administrator, where),
        ask(processes.there, eve, "POST", f"{where}/decline", json={}),
    ]


async def approve_and_demote_the_approver(processes: TwoProcesses) -> list[Request]:
    eve, where = (
        await processes.another_administrator("eve"),
        await processes.request_access(await processes.member()),
    )
    return [
        approve(processes.here, eve, where),
        demote(processes.there, processes.here.administrator, eve, processes.ordinary_role),
    ]


async def approve_and_remove_the_asker(processes: TwoProcesses) -> list[Request]:
    ana, bob = processes.here.administrator, await processes.member()
    where = await processes.request_access(bob)
    return [
        approve(processes.here, ana, where),
        ask(processes.there, ana, "DELETE", f"{processes.here.path}/members/{bob.id}"),
    ]


async def ask_and_ask(processes: TwoProcesses) -> list[Request]:
    bob = await processes.member()
    return 2 * [
        ask(
            processes.here,
            bob,
            "POST",
            f"{processes.here.path}/access-requests",
            json=processes.access_request_body,
        )
    ]


def approve(organization: Organization, by: Person, where: str) -> Request:
    """A request that approves an access request."""
    return ask(organization, by, "POST", f"{where}/approve", json={})


ENDS_SESSIONS = {
    accept_and_remove_the_accepted,
    accept_and_be_removed_elsewhere,
    accept_and_sign_out,
}
"""Scenarios that end every session of a user, including one that begins at the same time."""

DECIDED = "409 access_request_decided"

Prepare = Callable[[TwoProcesses], Awaitable[list[Request]]]

POSSIBLE_ANSWERS: dict[Prepare, set[tuple[str, ...]]] = {
    demote_and_demote: {("200", "403 missing_permission"), ("403 missing_permission", "200")},
    demote_in_a_ring: {
        (a, b, c)
        for a in ("200", "403 missing_permission")
        for b in ("200", "403 missing_permission")
        for c in ("200", "403 missing_permission")
        if 1 <= [a, b, c].count("200") <= 2
    },
    leave_and_demote_the_other: {
        ("204", "401 invalid_token"),
        ("204", "404 unknown_organization"),
        ("409 last_administrator", "200"),
    },
    leave_and_be_demoted: {("204", "404 unknown_member"), ("204", "200")},
    remove_and_change_roles: {("204", "404 unknown_member"), ("204", "200")},
    remove_and_leave: {
        ("204", "401 invalid_token"),
        ("204", "404 unknown_organization"),
        ("404 unknown_member", "204"),
    },
    delete_the_team_and_put_somebody_into_it: {("204", "404 unknown_team"), ("204", "200")},
    remove_and_put_into_a_team: {("204", "404 unknown_member"), ("204", "200")},
    create_two_teams_with_one_id: {("201", "409 team_exists"), ("409 team_exists", "201")},
    leave_the_team_and_be_put_into_it: {("204", "200")},
    suspend_and_reactivate: {("204", "204"), ("204", "409 not_suspended")},
    suspend_and_invite: {("204", "201"), ("204", "404 unknown_organization")},
    invite_and_invite: {("201", "409 already_invited"), ("409 already_invited", "201")},
    accept_and_cancel: {("200", "409 invitation_ended"), ("409 invitation_ended", "204")},
    accept_and_resend: {("200", "409 already_member"), ("404 unknown_invitation_token", "200")},
    accept_and_accept: {("200", "409 invitation_ended"), ("409 invitation_ended", "200")},
    accept_and_accept_signed_in: {("200", "409 invitation_ended"), ("409 invitation_ended", "200")},
    accept_and_invite: {("200", "409 already_invited"), ("200", "409 already_member")},
    accept_and_suspend_the_inviter: {("200", "204"), ("409 inviter_lost_rights", "204")},
    accept_and_remove_the_accepted: {("200", "204"), ("200", "404 unknown_member")},
    accept_and_be_suspended_elsewhere: {("200", "204")},
    accept_and_be_removed_elsewhere: {("200", "204"), ("401 invalid_token", "204")},
    accept_and_sign_out: {("200", "204"), ("401 invalid_token", "204")},
    invite_twice_with_one_key: {("201", "201")},
    invite_two_with_one_key: {
        ("201", "409 idempotency_key_reused"),
        ("409 idempotency_key_reused", "201"),
    },
    # without a lock to wait for, a repetition can be answered before the first is in force
    create_organization_twice_with_one_key: {
        ("201", "201"),
        ("201", "202"),
        ("202", "201"),
        # a repetition polls for two seconds, and the schedule holds the first for longer
        ("201", "409 idempotency_key_in_use"),
        ("409 idempotency_key_in_use", "201"),
    },
    approve_and_approve: {("200", DECIDED), (DECIDED, "200")},
    approve_and_withdraw: {("200", DECIDED), (DECIDED, "200")},
    approve_and_decline: {("200", DECIDED), (DECIDED, "200")},
    approve_and_demote_the_approver: {("200", "200"), ("403 missing_permission", "200")},
    approve_and_remove_the_asker: {("200", "204"), (DECIDED, "204")},
    ask_and_ask: {("201", "409 already_requested"), ("409 already_requested", "201")},
    accept_and_end_the_organization: {
        ("200", "204"),
        ("404 unknown_organization", "204"),
        ("404 unknown_invitation_token", "204"),
        ("409 invitation_ended", "204"),
    },
}
"""Which answers are possible together: those that the requests get one after the other, in some order.

If a caller was signed out while their request waited for its turn, the answer may say so, or be the
answer to a request that they send right after.
"""
