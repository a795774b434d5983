"""A credential that ends while its request waits does nothing.

The attack: begin a request, have the credential revoked, then let the request go on.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable

import httpx
import pytest
from sqlalchemy import func, select, text

from teamaccess.api.identity.callers import Caller, Shown
from teamaccess.api.identity.credentials import authenticate_token
from teamaccess.api.requests.idempotency import begin_once
from teamaccess.api.requests.parameters import AnyRequest
from teamaccess.api.requests.throttling import JUDGED_FOR_SECONDS
from teamaccess.changes import Change
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
from tests.support.machines import acting, api_token, backend, machine, service_account
from tests.support.serving import Served
from tests.support.spicedb_proxy import another_process, through, until
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


# --- questions that wait ---


async def revoked(team: Team, who: Person) -> None:
    """End a machine's tokens as its administrator does."""
    tokens = f"{team.path}/service-accounts/{who.id}/tokens"
    [token] = (await team.administrator.ask("GET", tokens)).json()["items"]
    assert (await team.administrator.ask("DELETE", f"{tokens}/{token['id']}")).status_code == 204


async def signed_out(_: Team, who: Person) -> None:
    """End a person's sessions."""
    assert (await who.ask("POST", "/v1/me/sign-out")).status_code == 204


ENDS = {"a token that is revoked": revoked, "a person who signs out": signed_out}
ASKED = 12
"""Questions of one caller; a few of them are worked on at once, and the others wait."""


@pytest.mark.parametrize("end", ENDS)
async def test_a_question_that_waited_for_its_turn_is_not_answered_to_who_has_left(
    acme: Team, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    if end == "a token that is revoked":
        who, code = await machine(acme, "support"), "invalid_api_token"
    else:
        who, code = (await enlist(acme, {"eve": ["support"]}))["eve"], "invalid_token"
    judged, begun, go_on = 0, 0, asyncio.Event()
    actions = acme.world.service.reading.actions

    async def judging(service: Service, token: str, request_id: str) -> tuple[Caller, Shown]:
        nonlocal judged
        found = await authenticate_token(service, token, request_id)
        judged += 1
        return found

    async def working(organization: OrganizationId, user: UserId) -> frozenset[str]:
        nonlocal begun
        begun += 1
        await go_on.wait()
        return await actions(organization, user)

    async def all_judged() -> bool:
        return judged == ASKED

    async with another_process(acme.world) as second:
        monkeypatch.setattr(second.service.reading, "actions", working)
        monkeypatch.setattr("teamaccess.api.identity.authentication.authenticate_token", judging)
        asking = through(second, Team(acme.world, acme.id, who)).administrator
        questions = [
            asyncio.create_task(asking.ask("GET", f"{acme.path}/permissions")) for _ in range(ASKED)
        ]
        await until(all_judged)
        target = "teamaccess.api.identity.authentication.authenticate_token"
        monkeypatch.setattr(target, authenticate_token)
        await ENDS[end](acme, who)
        await asyncio.sleep(JUDGED_FOR_SECONDS)  # so long a judgement is good
        at_work = begun
        go_on.set()
        answers = await asyncio.gather(*questions)
    assert 0 < at_work < ASKED
    refusals = [each for each in answers if each.status_code != 200]
    assert len(refusals) == ASKED - at_work
    for each in refusals:
        refused(each, 401, code)
        assert "actions" not in each.json()


# --- those who end their own credential ---


async def self_managing(team: Team) -> tuple[Person, str, str]:
    """A machine that may manage service accounts; with its address and its token's id."""
    job = await service_account(team, "support")
    token = await api_token(team, job)
    async with team.world.operator(team.id) as change:
        held = RoleAssignment(organization_id=team.id, user_id=job.id, role=RoleId("administrator"))
        change.session.add(held)
    return job, f"{team.path}/service-accounts/{job.id}", token["id"]


async def test_a_machine_that_revokes_its_own_token_is_told_so_and_has_none_any_more(
    acme: Team,
) -> None:
    job, where, token = await self_managing(acme)
    answer = await job.ask("DELETE", f"{where}/tokens/{token}")
    assert answer.status_code == 204, answer.text
    refused(await job.ask("GET", "/v1/me"), 401, "invalid_api_token")
    refused(await job.ask("GET", acme.path), 401, "invalid_api_token")


async def test_a_machine_that_replaces_its_own_token_goes_on_with_the_new_one(acme: Team) -> None:
    job, where, token = await self_managing(acme)
    answer = await job.ask("POST", f"{where}/tokens/{token}/rotate", json={"overlap_hours": 0})
    assert answer.status_code == 201, answer.text
    refused(await job.ask("GET", "/v1/me"), 401, "invalid_api_token")
    job.token = answer.json()["secret"]
    assert (await job.ask("GET", "/v1/me")).status_code == 200


async def test_a_machine_that_deletes_itself_is_told_so_and_is_gone(acme: Team) -> None:
    job, where, _ = await self_managing(acme)
    answer = await job.ask("DELETE", where)
    assert answer.status_code == 204, answer.text
    refused(await job.ask("GET", "/v1/me"), 401, "invalid_api_token")


@pytest.mark.parametrize("path", ["/v1/me/sign-out", "/leave"])
async def test_who_signs_out_or_leaves_is_told_so_and_is_signed_out(acme: Team, path: str) -> None:
    eve = (await enlist(acme, {"eve": ["support"]}))["eve"]
    answer = await eve.ask("POST", path if path.startswith("/v1") else acme.path + path)
    assert answer.status_code == 204, answer.text
    refused(await eve.ask("GET", "/v1/me"), 401, "invalid_token")


async def test_who_is_removed_elsewhere_in_the_middle_of_a_change_does_not_make_it(
    acme: Team, globex: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A removal ends all sessions, and holds another organization's lock than the change."""
    eve = (await enlist(acme, {"eve": ["administrator"]}))["eve"]
    sent = await globex.administrator.ask(
        "POST", f"{globex.path}/invitations", json={"email": eve.email, "roles": ["support"]}
    )
    assert sent.status_code == 201, sent.text
    secret = acme.world.secret_for(eve.email)
    joined = await eve.ask("POST", "/v1/invitations/accept", json={"token": secret})
    assert joined.status_code == 200, joined.text

    async def meanwhile(change: Change, request: AnyRequest) -> IdempotencyKey | None:
        monkeypatch.setattr("teamaccess.api.requests.edge.begin_once", begin_once)
        assert (await globex.act("remove", eve)).status_code == 204
        return await begin_once(change, request)

    before = await acme.ledger()
    monkeypatch.setattr("teamaccess.api.requests.edge.begin_once", meanwhile)
    refused(await invite(eve, acme), 401, "invalid_token")
    assert await invited(acme) == 0
    assert await acme.ledger() == before
