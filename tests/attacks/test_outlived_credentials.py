"""A credential that ends while its request waits does nothing.

The attack: begin a request, have the credential revoked, then let the request go on.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable

import httpx
import pytest
from sqlalchemy import func, select, text

from teamaccess.api.identity.callers import Caller
from teamaccess.api.identity.credentials import authenticate_token
from teamaccess.api.requests.idempotency import begin_once
from teamaccess.api.requests.parameters import AnyRequest
from teamaccess.api.requests.throttling import RECHECK_AFTER_SECONDS
from teamaccess.changes import Change
from teamaccess.directory.users.tokens import Credential
from teamaccess.service import Service
from teamaccess.storage import (
    IdempotencyKey,
    Invitation,
    OrganizationId,
    RoleAssignment,
    RoleId,
    User,
    UserId,
)
from tests.support.deployment import OPERATOR
from tests.support.http_server import HttpServer
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.responses import refused
from tests.support.spicedb_proxy import another_process, served_by, wait_until


async def while_waiting(
    organization: Organization,
    request: Awaitable[httpx.Response],
    then: Callable[[], Awaitable[object]],
) -> httpx.Response:
    """Send the request, and let something happen while it waits for the organization's lock."""
    async with organization.deployment.service.ledger.hold(OPERATOR, organization.id):
        sent = asyncio.ensure_future(request)
        await _waits_for_lock(organization)
        await then()
    return await sent


async def _waits_for_lock(organization: Organization) -> None:
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND query LIKE '%ledger_lock%' AND datname = current_database()"
    )

    async def waits() -> bool:
        async with organization.deployment.service.reads() as session:
            return bool(await session.scalar(text(waiting)))

    await wait_until(waits)


async def invited(organization: Organization) -> int:
    """How many invitations there are."""
    async with organization.deployment.service.reads() as session:
        mine = select(func.count()).where(Invitation.organization_id == organization.id)
        return (await session.execute(mine)).scalar_one()


def invite(person: Person, organization: Organization) -> Awaitable[httpx.Response]:
    """Invite a person."""
    body = {"email": organization.address("zoe"), "roles": ["support"]}
    return person.ask("POST", f"{organization.path}/invitations", json=body)


async def end_tokens(organization: Organization, column: str) -> None:
    """End every API token of the organization, as another process does."""
    end = f"UPDATE api_tokens SET {column} = clock_timestamp() WHERE organization_id = $1"
    await organization.deployment.execute_without_triggers(end, organization.id)


async def test_a_sign_out_refuses_waiting_requests(acme: Organization) -> None:
    ada = (await acme.add_members({"ada": ["administrator"]}))["ada"]
    answer = await while_waiting(
        acme, invite(ada, acme), lambda: ada.ask("POST", "/v1/me/sign-out")
    )
    refused(answer, 401, "invalid_token")
    assert await invited(acme) == 0


@pytest.mark.parametrize("how", ["revoked_at", "expires_at"])
async def test_revoking_or_replacing_a_token_refuses_waiting_requests(
    acme: Organization, how: str
) -> None:
    job = await acme.add_service_account("product")
    answer = await while_waiting(
        acme,
        job.ask("POST", f"{acme.path}/leave"),
        lambda: end_tokens(acme, how),
    )
    refused(answer, 401, "invalid_api_token")


async def test_revoking_a_backends_token_refuses_its_waiting_requests_for_others(
    branch: Organization,
) -> None:
    account = await branch.add_backend_account("people_manage", "people_view", "counter_view")
    server = account.on_behalf_of(branch.administrator.id)
    bob = (await branch.add_members({"bob": ["clerk"]}))["bob"]
    answer = await while_waiting(
        branch,
        branch.suspend(bob, by=server),
        lambda: end_tokens(branch, "revoked_at"),
    )
    refused(answer, 401, "invalid_api_token")
    member = await branch.administrator.ask("GET", f"{branch.path}/members/{bob.id}")
    assert member.json()["status"] == "active"


async def test_a_repeated_request_is_refused_after_a_sign_out(acme: Organization) -> None:
    ada = (await acme.add_members({"ada": ["administrator"]}))["ada"]
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
    http_server: HttpServer, kind: str
) -> None:
    acme = await http_server.deployment.create_organization("acme")
    ada = (await acme.add_members({"ada": ["administrator"]}))["ada"]
    method, path, body = HALF_SENT[kind]
    path = path if path.startswith("/v1") else acme.path + path
    content = (
        json.dumps(body).replace('"organization": ""', f'"organization": "{acme.id}"').encode()
    )
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {ada.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(http_server.host, http_server.port)
    writer.write(head.encode() + content[:5])
    await writer.drain()
    async with httpx.AsyncClient() as other:  # the server has read everything before this
        assert (await other.get(f"{http_server.url}/healthz")).status_code == 200
    assert (await ada.ask("POST", "/v1/me/sign-out")).status_code == 204
    writer.write(content[5:])
    line = await reader.readline()
    writer.close()
    assert line.startswith(b"HTTP/1.1 401"), line
    assert await invited(acme) == 0


async def test_an_invitation_cannot_be_accepted_with_a_session_that_is_being_ended(
    acme: Organization, globex: Organization
) -> None:
    """The row of the invited person is locked; the organization's lock must not wait for it."""
    bob = (await globex.add_members({"bob": ["support"]}))["bob"]
    body = {"email": bob.email, "roles": ["support"]}
    sent = await acme.administrator.ask("POST", f"{acme.path}/invitations", json=body)
    assert sent.status_code == 201, sent.text
    async with acme.deployment.service.sessions.begin() as session:
        await session.execute(select(User).where(User.id == bob.id).with_for_update())
        started = asyncio.get_running_loop().time()
        secret = acme.deployment.invitation_token(bob.email)
        answer = await bob.ask("POST", "/v1/invitations/accept", json={"token": secret})
        took = asyncio.get_running_loop().time() - started
    refused(answer, 503, "organization_busy")
    assert took < 1.8


# --- questions that wait ---


async def revoked(organization: Organization, who: Person) -> None:
    """End a service account's tokens as its administrator does."""
    tokens = f"{organization.path}/service-accounts/{who.id}/tokens"
    [token] = (await organization.administrator.ask("GET", tokens)).json()["items"]
    assert (
        await organization.administrator.ask("DELETE", f"{tokens}/{token['id']}")
    ).status_code == 204


async def signed_out(_: Organization, who: Person) -> None:
    """End a person's sessions."""
    assert (await who.ask("POST", "/v1/me/sign-out")).status_code == 204


ENDS = {"a token that is revoked": revoked, "a person who signs out": signed_out}
ASKED = 12
"""Questions of one caller; a few of them are worked on at once, and the others wait."""


@pytest.mark.parametrize("end", ENDS)
async def test_a_question_that_waited_is_refused_after_its_caller_was_signed_out(
    acme: Organization, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    who: Person
    if end == "a token that is revoked":
        who, code = await acme.add_service_account("support"), "invalid_api_token"
    else:
        who, code = (await acme.add_members({"eve": ["support"]}))["eve"], "invalid_token"
    judged, begun, go_on = 0, 0, asyncio.Event()
    held = acme.deployment.service.reading.held

    async def judging(service: Service, token: str, request_id: str) -> tuple[Caller, Credential]:
        nonlocal judged
        found = await authenticate_token(service, token, request_id)
        judged += 1
        return found

    async def working(organization: OrganizationId, user: UserId) -> frozenset[str]:
        nonlocal begun
        begun += 1
        await go_on.wait()
        return await held(organization, user)

    async def all_judged() -> bool:
        return judged == ASKED

    async with another_process(acme.deployment) as second:
        monkeypatch.setattr(second.service.reading, "held", working)
        monkeypatch.setattr("teamaccess.api.identity.authentication.authenticate_token", judging)
        asking = served_by(second, Organization(acme.deployment, acme.id, who)).administrator
        questions = [
            asyncio.create_task(asking.ask("GET", f"{acme.path}/permissions")) for _ in range(ASKED)
        ]
        await wait_until(all_judged)
        target = "teamaccess.api.identity.authentication.authenticate_token"
        monkeypatch.setattr(target, authenticate_token)
        await ENDS[end](acme, who)
        await asyncio.sleep(RECHECK_AFTER_SECONDS)
        at_work = begun
        go_on.set()
        answers = await asyncio.gather(*questions)
    assert 0 < at_work < ASKED
    refusals = [each for each in answers if each.status_code != 200]
    assert len(refusals) == ASKED - at_work
    for each in refusals:
        refused(each, 401, code)
        assert "actions" not in each.json()


# --- callers that end their own credential ---


async def self_managing(organization: Organization) -> tuple[Person, str, str]:
    """A service account that may manage service accounts, with its address and the id of its token."""
    job = await organization.create_service_account("support")
    token = await job.create_token()
    async with organization.deployment.operator(organization.id) as change:
        held = RoleAssignment(
            organization_id=organization.id, user_id=job.id, role=RoleId("administrator")
        )
        change.session.add(held)
    return job, f"{organization.path}/service-accounts/{job.id}", token["id"]


async def test_a_service_account_that_revokes_its_own_token_gets_an_answer_and_loses_access(
    acme: Organization,
) -> None:
    job, where, token = await self_managing(acme)
    answer = await job.ask("DELETE", f"{where}/tokens/{token}")
    assert answer.status_code == 204, answer.text
    refused(await job.ask("GET", "/v1/me"), 401, "invalid_api_token")
    refused(await job.ask("GET", acme.path), 401, "invalid_api_token")


async def test_a_service_account_that_rotates_its_own_token_continues_with_the_new_one(
    acme: Organization,
) -> None:
    job, where, token = await self_managing(acme)
    answer = await job.ask("POST", f"{where}/tokens/{token}/rotate", json={"overlap_hours": 0})
    assert answer.status_code == 201, answer.text
    refused(await job.ask("GET", "/v1/me"), 401, "invalid_api_token")
    job.token = answer.json()["secret"]
    assert (await job.ask("GET", "/v1/me")).status_code == 200


async def test_a_service_account_that_deletes_itself_gets_an_answer_and_loses_access(
    acme: Organization,
) -> None:
    job, where, _ = await self_managing(acme)
    answer = await job.ask("DELETE", where)
    assert answer.status_code == 204, answer.text
    refused(await job.ask("GET", "/v1/me"), 401, "invalid_api_token")


@pytest.mark.parametrize("path", ["/v1/me/sign-out", "/leave"])
async def test_a_user_who_signs_out_or_leaves_gets_an_answer_and_is_signed_out(
    acme: Organization, path: str
) -> None:
    eve = (await acme.add_members({"eve": ["support"]}))["eve"]
    answer = await eve.ask("POST", path if path.startswith("/v1") else acme.path + path)
    assert answer.status_code == 204, answer.text
    refused(await eve.ask("GET", "/v1/me"), 401, "invalid_token")


async def test_a_member_removed_by_another_process_during_a_change_does_not_make_it(
    acme: Organization, globex: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The removal ends all sessions, and holds the lock of another organization than the change."""
    eve = (await acme.add_members({"eve": ["administrator"]}))["eve"]
    sent = await globex.administrator.ask(
        "POST", f"{globex.path}/invitations", json={"email": eve.email, "roles": ["support"]}
    )
    assert sent.status_code == 201, sent.text
    secret = acme.deployment.invitation_token(eve.email)
    joined = await eve.ask("POST", "/v1/invitations/accept", json={"token": secret})
    assert joined.status_code == 200, joined.text

    async def meanwhile(change: Change, request: AnyRequest) -> IdempotencyKey | None:
        monkeypatch.setattr("teamaccess.api.requests.edge.begin_once", begin_once)
        assert (await globex.remove(eve)).status_code == 204
        return await begin_once(change, request)

    before = await acme.ledger()
    monkeypatch.setattr("teamaccess.api.requests.edge.begin_once", meanwhile)
    refused(await invite(eve, acme), 401, "invalid_token")
    assert await invited(acme) == 0
    assert await acme.ledger() == before
