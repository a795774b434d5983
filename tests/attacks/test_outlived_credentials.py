"""A credential that ends while its request waits does nothing.

The attack: begin a request, have the credential revoked, then let the request go on.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable

import httpx
import pytest
from sqlalchemy import func, select, text

from teamaccess.storage import Invitation, User
from tests.support.machines import acting, backend, machine
from tests.support.serving import Served
from tests.support.spicedb_proxy import until
from tests.support.steps import enlist, refused, unseen
from tests.support.world import OPERATOR, Person, Team


async def while_waiting(
    team: Team, request: Awaitable[httpx.Response], then: Callable[[], Awaitable[object]]
) -> httpx.Response:
    """Send the request, let something happen while it waits for the organization's lock."""
    async with team.world.service.ledger.hold(OPERATOR, team.id):
        sent = asyncio.ensure_future(request)
        await _waits_for_lock(team)
        await then()
    return await sent


async def _waits_for_lock(team: Team) -> None:
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND query LIKE '%ledger_lock%' AND datname = current_database()"
    )

    async def waits() -> bool:
        async with team.world.service.reads() as session:
            return bool(await session.scalar(text(waiting)))

    await until(waits)


async def invited(team: Team) -> int:
    """How many invitations there are."""
    async with team.world.service.reads() as session:
        mine = select(func.count()).where(Invitation.organization_id == team.id)
        return (await session.execute(mine)).scalar_one()


def invite(person: Person, team: Team) -> Awaitable[httpx.Response]:
    """Invite somebody."""
    body = {"email": team.address("zoe"), "roles": ["support"]}
    return person.ask("POST", f"{team.path}/invitations", json=body)


async def end_tokens(team: Team, column: str) -> None:
    """End every API token of the organization, as another process does."""
    end = f"UPDATE api_tokens SET {column} = clock_timestamp() WHERE organization_id = $1"
    await unseen(team.world, end, team.id)


async def test_a_sign_out_ends_requests_that_wait(acme: Team) -> None:
    ada = (await enlist(acme, {"ada": ["administrator"]}))["ada"]
    answer = await while_waiting(
        acme, invite(ada, acme), lambda: ada.ask("POST", "/v1/me/sign-out")
    )
    refused(answer, 401, "invalid_token")
    assert await invited(acme) == 0


@pytest.mark.parametrize("how", ["revoked_at", "expires_at"])
async def test_a_token_that_is_revoked_or_replaced_ends_requests_that_wait(
    acme: Team, how: str
) -> None:
    job = await machine(acme, "product")
    answer = await while_waiting(
        acme,
        job.ask("POST", f"{acme.path}/leave"),
        lambda: end_tokens(acme, how),
    )
    refused(answer, 401, "invalid_api_token")


async def test_a_backend_whose_token_is_revoked_ends_what_it_does_for_others(branch: Team) -> None:
    server = acting(
        await backend(branch, "people_manage", "people_view", "counter_view"),
        branch.administrator.id,
    )
    bob = (await enlist(branch, {"bob": ["clerk"]}))["bob"]
    answer = await while_waiting(
        branch,
        branch.act("suspend", bob, by=server),
        lambda: end_tokens(branch, "revoked_at"),
    )
    refused(answer, 401, "invalid_api_token")
    member = await branch.administrator.ask("GET", f"{branch.path}/members/{bob.id}")
    assert member.json()["status"] == "active"


async def test_a_repeated_request_is_not_answered_to_who_has_signed_out(acme: Team) -> None:
    ada = (await enlist(acme, {"ada": ["administrator"]}))["ada"]
    body = {"email": acme.address("zoe"), "roles": ["support"]}
    once = {"Idempotency-Key": "k1"}

    def send() -> Awaitable[httpx.Response]:
        return ada.ask("POST", f"{acme.path}/invitations", json=body, headers=once)

    assert (await send()).status_code == 201
    answer = await while_waiting(acme, send(), lambda: ada.ask("POST", "/v1/me/sign-out"))
    refused(answer, 401, "invalid_token")


HALF_SENT = {
    "a change": ("POST", "/invitations", {"email": "zoe@example.com", "roles": ["support"]}),
    "a check": (
        "POST",
        "/v1/check",
        {"checks": [{"organization": "", "action": "refunds_create"}]},
    ),
}


@pytest.mark.parametrize("kind", HALF_SENT)
async def test_a_request_whose_body_comes_after_the_sign_out_does_nothing(
    served: Served, kind: str
) -> None:
    acme = await served.world.create("acme")
    ada = (await enlist(acme, {"ada": ["administrator"]}))["ada"]
    method, path, body = HALF_SENT[kind]
    path = path if path.startswith("/v1") else acme.path + path
    content = (
        json.dumps(body).replace('"organization": ""', f'"organization": "{acme.id}"').encode()
    )
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {ada.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(served.host, served.port)
    writer.write(head.encode() + content[:5])
    await writer.drain()
    async with httpx.AsyncClient() as other:  # the server has read what came before this
        assert (await other.get(f"{served.url}/healthz")).status_code == 200
    assert (await ada.ask("POST", "/v1/me/sign-out")).status_code == 204
    writer.write(content[5:])
    line = await reader.readline()
    writer.close()
    assert line.startswith(b"HTTP/1.1 401"), line
    assert await invited(acme) == 0


async def test_nobody_accepts_with_a_session_that_is_being_ended(acme: Team, globex: Team) -> None:
    """The invited person holds their own row; the organization's lock must not wait for it."""
    bob = (await enlist(globex, {"bob": ["support"]}))["bob"]
    body = {"email": bob.email, "roles": ["support"]}
    sent = await acme.administrator.ask("POST", f"{acme.path}/invitations", json=body)
    assert sent.status_code == 201, sent.text
    async with acme.world.service.sessions.begin() as session:
        await session.execute(select(User).where(User.id == bob.id).with_for_update())
        started = asyncio.get_running_loop().time()
        secret = acme.world.secret_for(bob.email)
        answer = await bob.ask("POST", "/v1/invitations/accept", json={"token": secret})
        took = asyncio.get_running_loop().time() - started
    refused(answer, 503, "organization_busy")
    assert took < 1.0
