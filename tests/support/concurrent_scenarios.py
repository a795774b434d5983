"""Requests of two or three people that meet in an organization, and which answers go together."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx

from tests.support.interleaving import Request
from tests.support.steps import enlist
from tests.support.teams import Crew
from tests.support.world import Person, Team


@dataclass(frozen=True)
class Meeting:
    """An organization as two processes see it, which may be one and the same."""

    here: Team
    there: Team
    others: list[Team] = field(default_factory=list)

    @property
    def lesser(self) -> str:
        """A role that is not the administrators'."""
        return {"administrator": "support", "admin": "read"}[self.administrator]

    @property
    def administrator(self) -> str:
        """The role that holds every action."""
        return self.here.world.service.catalog.administrator

    async def elsewhere(self, name: str = "bob") -> tuple[Team, Person]:
        """Another organization with a member, whom no one knows here."""
        other = await self.here.world.create("globex")
        self.others.append(other)
        return other, (await enlist(other, {name: [self.lesser]}))[name]

    async def another(self, name: str = "bob") -> Person:
        """An administrator beside ana."""
        return (await enlist(self.here, {name: [self.administrator]}))[name]

    async def member(self, name: str = "bob") -> Person:
        """Somebody who administrates nothing."""
        return (await enlist(self.here, {name: [self.lesser]}))[name]

    @property
    def wish(self) -> dict[str, object]:
        """What somebody asks for who lacks it."""
        wanted = {"administrator": "developer", "admin": "write"}[self.administrator]
        return {"role": wanted, "reason": "a case", "duration_hours": 8}

    async def asked(self, by: Person) -> str:
        """Ask for access; return where the request is."""
        path = f"{self.here.path}/access-requests"
        answer = await by.ask("POST", path, json=self.wish)
        return f"{path}/{answer.raise_for_status().json()['id']}"

    async def invited(self, address: str, by: Person | None = None) -> tuple[str, str]:
        """Invite an address; return where the invitation is and the secret in its mail."""
        asked = await (by or self.here.administrator).ask(
            "POST",
            f"{self.here.path}/invitations",
            json={"email": address, "roles": [self.lesser]},
        )
        id = asked.raise_for_status().json()["id"]
        return f"{self.here.path}/invitations/{id}", self.here.world.secret_for(address)


def accept(team: Team, secret: str, by: Person | None = None) -> Request:
    """Accept an invitation, signed in or by its secret alone."""
    headers = {"Authorization": f"Bearer {by.token}"} if by else {}

    async def request() -> httpx.Response:
        return await team.world.http.post(
            "/v1/invitations/accept", json={"token": secret}, headers=headers
        )

    return request


def ask(team: Team, by: Person, method: str, path: str, **more: object) -> Request:
    """Ask the process of the team."""
    person = Person(team.world, by.id, by.email, by.token)
    return lambda: person.ask(method, path, **more)


def demote(team: Team, by: Person, whom: Person, role: str) -> Request:
    """Make somebody hold a role, and no other."""
    path = f"{team.path}/members/{whom.id}/roles"
    return ask(team, by, "PUT", path, json={"roles": [{"role": role}]})


async def demote_and_demote(m: Meeting) -> list[Request]:
    ana, bob = m.here.administrator, await m.another()
    return [demote(m.here, ana, bob, m.lesser), demote(m.there, bob, ana, m.lesser)]


async def demote_in_a_ring(m: Meeting) -> list[Request]:
    ana, bob, eve = m.here.administrator, await m.another(), await m.another("eve")
    return [
        demote(m.here, ana, bob, m.lesser),
        demote(m.there, bob, eve, m.lesser),
        demote(m.here, eve, ana, m.lesser),
    ]


async def leave_and_demote_the_other(m: Meeting) -> list[Request]:
    ana, bob = m.here.administrator, await m.another()
    return [
        ask(m.here, ana, "POST", f"{m.here.path}/leave"),
        demote(m.there, ana, bob, m.lesser),
    ]


async def leave_and_be_demoted(m: Meeting) -> list[Request]:
    ana, bob = m.here.administrator, await m.another()
    return [
        ask(m.here, ana, "POST", f"{m.here.path}/leave"),
        demote(m.there, bob, ana, m.lesser),
    ]


async def remove_and_change_roles(m: Meeting) -> list[Request]:
    ana, bob = m.here.administrator, await m.member()
    return [
        ask(m.here, ana, "DELETE", f"{m.here.path}/members/{bob.id}"),
        demote(m.there, ana, bob, m.administrator if m.administrator == "admin" else "developer"),
    ]


async def remove_and_leave(m: Meeting) -> list[Request]:
    ana, bob = m.here.administrator, await m.member()
    return [
        ask(m.here, ana, "DELETE", f"{m.here.path}/members/{bob.id}"),
        ask(m.there, bob, "POST", f"{m.here.path}/leave"),
    ]


async def delete_the_team_and_put_somebody_into_it(m: Meeting) -> list[Request]:
    ana, bob, pay = m.here.administrator, await m.member(), await Crew.made(m.here, "pay", m.lesser)
    return [
        ask(m.here, ana, "DELETE", pay.path),
        ask(m.there, ana, "PUT", f"{pay.path}/members/{bob.id}"),
    ]


async def remove_and_put_into_a_team(m: Meeting) -> list[Request]:
    ana, bob, pay = m.here.administrator, await m.member(), await Crew.made(m.here, "pay", m.lesser)
    return [
        ask(m.here, ana, "DELETE", f"{m.here.path}/members/{bob.id}"),
        ask(m.there, ana, "PUT", f"{pay.path}/members/{bob.id}"),
    ]


async def make_two_teams_with_one_id(m: Meeting) -> list[Request]:
    ana, path, body = m.here.administrator, f"{m.here.path}/teams", {"id": "pay", "name": "Pay"}
    return [ask(each, ana, "POST", path, json=body) for each in (m.here, m.there)]


async def leave_the_team_and_be_put_into_it(m: Meeting) -> list[Request]:
    ana, bob, pay = m.here.administrator, await m.member(), await Crew.made(m.here, "pay", m.lesser)
    (await pay.put(bob)).raise_for_status()
    path = f"{pay.path}/members/{bob.id}"
    soon = datetime.now(UTC) + timedelta(days=1)
    body = {"expires_at": soon.isoformat()}
    return [ask(m.here, bob, "DELETE", path), ask(m.there, ana, "PUT", path, json=body)]


async def suspend_and_reactivate(m: Meeting) -> list[Request]:
    ana, bob = m.here.administrator, await m.member()
    path = f"{m.here.path}/members/{bob.id}"
    return [
        ask(m.here, ana, "POST", f"{path}/suspend"),
        ask(m.there, ana, "POST", f"{path}/reactivate"),
    ]


async def suspend_and_invite(m: Meeting) -> list[Request]:
    ana, bob = m.here.administrator, await m.another()
    body = {"email": m.here.address("eve"), "roles": [m.lesser]}
    return [
        ask(m.here, ana, "POST", f"{m.here.path}/members/{bob.id}/suspend"),
        ask(m.there, bob, "POST", f"{m.here.path}/invitations", json=body),
    ]


async def invite_and_invite(m: Meeting) -> list[Request]:
    ana, bob = m.here.administrator, await m.another()
    body = {"email": m.here.address("eve"), "roles": [m.lesser]}
    path = f"{m.here.path}/invitations"
    return [ask(m.here, ana, "POST", path, json=body), ask(m.there, bob, "POST", path, json=body)]


async def accept_and_cancel(m: Meeting) -> list[Request]:
    path, secret = await m.invited(m.here.address("eve"))
    return [accept(m.here, secret), ask(m.there, m.here.administrator, "DELETE", path)]


async def accept_and_resend(m: Meeting) -> list[Request]:
    path, secret = await m.invited(m.here.address("eve"))
    return [accept(m.here, secret), ask(m.there, m.here.administrator, "POST", f"{path}/resend")]


async def accept_and_accept(m: Meeting) -> list[Request]:
    _, secret = await m.invited(m.here.address("eve"))
    return [accept(m.here, secret), accept(m.there, secret)]


async def accept_and_accept_signed_in(m: Meeting) -> list[Request]:
    _, bob = await m.elsewhere()
    _, secret = await m.invited(bob.email)
    return [accept(m.here, secret, bob), accept(m.there, secret, bob)]


async def accept_and_invite(m: Meeting) -> list[Request]:
    _, secret = await m.invited(m.here.address("eve"))
    body = {"email": m.here.address("eve"), "roles": [m.lesser]}
    again = ask(m.there, m.here.administrator, "POST", f"{m.here.path}/invitations", json=body)
    return [accept(m.here, secret), again]


async def accept_and_suspend_the_inviter(m: Meeting) -> list[Request]:
    ana, bob = m.here.administrator, await m.another()
    _, secret = await m.invited(m.here.address("eve"), by=bob)
    return [
        accept(m.here, secret),
        ask(m.there, ana, "POST", f"{m.here.path}/members/{bob.id}/suspend"),
    ]


async def accept_and_remove_the_accepted(m: Meeting) -> list[Request]:
    _, bob = await m.elsewhere()
    _, secret = await m.invited(bob.email)
    path = f"{m.here.path}/members/{bob.id}"
    return [accept(m.here, secret, bob), ask(m.there, m.here.administrator, "DELETE", path)]


async def accept_and_be_suspended_elsewhere(m: Meeting) -> list[Request]:
    other, bob = await m.elsewhere()
    _, secret = await m.invited(bob.email)
    path = f"{other.path}/members/{bob.id}/suspend"
    return [accept(m.here, secret, bob), ask(m.there, other.administrator, "POST", path)]


async def accept_and_be_removed_elsewhere(m: Meeting) -> list[Request]:
    other, bob = await m.elsewhere()
    _, secret = await m.invited(bob.email)
    path = f"{other.path}/members/{bob.id}"
    return [accept(m.here, secret, bob), ask(m.there, other.administrator, "DELETE", path)]


async def accept_and_sign_out(m: Meeting) -> list[Request]:
    _, bob = await m.elsewhere()
    _, secret = await m.invited(bob.email)
    return [accept(m.here, secret, bob), ask(m.there, bob, "POST", "/v1/me/sign-out")]


async def accept_and_end_the_organization(m: Meeting) -> list[Request]:
    _, secret = await m.invited(m.here.address("eve"))
    return [accept(m.here, secret), ask(m.there, m.here.administrator, "DELETE", m.here.path)]


async def invite_twice_with_one_key(m: Meeting) -> list[Request]:
    return [_invite_once(m.here, "eve"), _invite_once(m.there, "eve")]


async def invite_two_with_one_key(m: Meeting) -> list[Request]:
    return [_invite_once(m.here, "bob"), _invite_once(m.there, "eve")]


def _invite_once(team: Team, name: str) -> Request:
    body = {"email": team.address(name), "roles": ["support"]}
    path, key = f"{team.path}/invitations", {"Idempotency-Key": "k1"}
    return ask(team, team.administrator, "POST", path, json=body, headers=key)


async def found_twice_with_one_key(m: Meeting) -> list[Request]:
    body, key = {"id": f"{m.here.id}-b", "name": "B"}, {"Idempotency-Key": "k1"}
    ana = m.here.administrator
    return 2 * [ask(m.here, ana, "POST", "/v1/organizations", json=body, headers=key)]


async def approve_and_approve(m: Meeting) -> list[Request]:
    eve, where = await m.another("eve"), await m.asked(await m.member())
    return [approve(m.here, m.here.administrator, where), approve(m.there, eve, where)]


async def approve_and_withdraw(m: Meeting) -> list[Request]:
    bob = await m.member()
    where = await m.asked(bob)
    return [
        approve(m.here, m.here.administrator, where),
        ask(m.there, bob, "POST", f"{where}/withdraw"),
    ]


async def approve_and_decline(m: Meeting) -> list[Request]:
    eve, where = await m.another("eve"), await m.asked(await m.member())
    return [
        approve(m.here, m.here.administrator, where),
        ask(m.there, eve, "POST", f"{where}/decline", json={}),
    ]


async def approve_and_demote_the_approver(m: Meeting) -> list[Request]:
    eve, where = await m.another("eve"), await m.asked(await m.member())
    return [approve(m.here, eve, where), demote(m.there, m.here.administrator, eve, m.lesser)]


async def approve_and_remove_the_asker(m: Meeting) -> list[Request]:
    ana, bob = m.here.administrator, await m.member()
    where = await m.asked(bob)
    return [
        approve(m.here, ana, where),
        ask(m.there, ana, "DELETE", f"{m.here.path}/members/{bob.id}"),
    ]


async def ask_and_ask(m: Meeting) -> list[Request]:
    bob = await m.member()
    return 2 * [ask(m.here, bob, "POST", f"{m.here.path}/access-requests", json=m.wish)]


def approve(team: Team, by: Person, where: str) -> Request:
    """Give what somebody asks for."""
    return ask(team, by, "POST", f"{where}/approve", json={})


ENDS_SESSIONS = {
    accept_and_remove_the_accepted,
    accept_and_be_removed_elsewhere,
    accept_and_sign_out,
}
"""What ends every session of somebody, also the one that begins at the same time."""

DECIDED = "409 access_request_decided"

Prepare = Callable[[Meeting], Awaitable[list[Request]]]

TOGETHER: dict[Prepare, set[tuple[str, ...]]] = {
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
    make_two_teams_with_one_id: {("201", "409 team_exists"), ("409 team_exists", "201")},
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
    # no lock is there to wait for: who repeats it may be answered before it is in force
    found_twice_with_one_key: {("201", "201"), ("201", "202"), ("202", "201")},
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
    },
}
"""Which answers go together, whatever the order: those of one request after the other, in some order.

Who was signed out while a request of theirs waited for its turn may be told so, or what they would have
been told right after.
"""
