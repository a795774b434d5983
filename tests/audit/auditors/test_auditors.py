"""Auditors of all organizations: they may ask about each of them, and do nothing else in any."""

import json
import secrets
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from teamaccess.audit.auditors.find import is_auditor
from teamaccess.audit.auditors.grant import grant_auditor, revoke_auditor
from teamaccess.storage import Event, Reason, User
from tests.cli.conftest import Run
from tests.support.machines import acting, backend
from tests.support.steps import besides_proofs, enlist, refused, unseen
from tests.support.world import Person, Team, World

WHY = "the yearly audit, contract 4711"
QUESTIONS = (
    "who-can?action=refunds_create",
    "what-can?user={}",
    "matrix",
    "why?user={}&action=refunds_create",
)


@pytest.fixture
async def vera(fintoc: World) -> Person:
    """An auditor of all organizations, member of none."""
    email = f"vera-{secrets.token_hex(4)}@auditors.example"
    async with fintoc.operator() as change:
        user = await grant_auditor(change, email, WHY, None)
    return Person(fintoc, user.id, email, await fintoc.token(user.id))


async def asked(who: Person, team: Team) -> list[httpx.Response]:
    """The answers to every question about an organization."""
    about = team.administrator.id
    return [await who.ask("GET", f"{team.path}/audit/{each.format(about)}") for each in QUESTIONS]


async def hidden(who: Person, team: Team) -> None:
    """Fails unless the organization does not exist for them."""
    for answer in await asked(who, team):
        refused(answer, 404, "unknown_organization")


async def platform(world: World, about: Person) -> list[tuple[Event, str]]:
    """The platform's events about somebody, with their reasons."""
    told = select(Event, Reason.text).join(Reason, Reason.hash == Event.reason_hash)
    mine = told.where(Event.chain == Event.PLATFORM, Event.subject == f"user:{about.id}")
    async with world.service.reads() as session:
        rows = await session.execute(mine.order_by(Event.position))
        return [(event, text) for event, text in rows]


async def test_they_ask_everything_about_every_organization(
    acme: Team, globex: Team, vera: Person
) -> None:
    for team in (acme, globex):
        assert [answer.status_code for answer in await asked(vera, team)] == [200] * 4
        matrix = (await vera.ask("GET", f"{team.path}/audit/matrix")).json()
        assert [row["user"] for row in matrix["items"]] == [team.administrator.id]
    for path in ("/v1/organizations/no-such-one", "/v1/organizations/No%20id"):
        refused(await vera.ask("GET", f"{path}/audit/matrix"), 404, "unknown_organization")
    await globex.administrator.ask("DELETE", globex.path)
    await hidden(vera, globex)


async def listed(who: Person) -> set[str]:
    """Every organization that they are told of."""
    told: set[str] = set()
    page: dict[str, Any] = {"limit": 1000, "all": "true"}
    while True:
        found = (await who.ask("GET", "/v1/organizations", params=page)).raise_for_status().json()
        told |= {each["id"] for each in found["items"]}
        if found["next_cursor"] is None:
            return told
        page["cursor"] = found["next_cursor"]


async def test_they_are_told_which_organizations_there_are_until_they_are_revoked(
    acme: Team, globex: Team, vera: Person
) -> None:
    await globex.administrator.ask("DELETE", globex.path)
    assert (await vera.ask("GET", "/v1/organizations")).json()["items"] == []
    told = await listed(vera)
    assert acme.id in told
    assert globex.id not in told
    async with acme.world.operator() as change:
        await revoke_auditor(change, vera.id, "it is over")
    refused(await vera.ask("GET", "/v1/organizations?all=true"), 403, "not_for_everybody")
    refused(
        await acme.administrator.ask("GET", "/v1/organizations?all=1"), 403, "not_for_everybody"
    )


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("GET", "/members", None),
        ("GET", "/permissions", None),
        ("GET", "/invitations", None),
        ("GET", "/roles", None),
        ("POST", "/invitations", {"email": "eve@auditors.example", "roles": ["support"]}),
        ("POST", "/roles", {"id": "mine", "name": "Mine", "actions": ["audit_view"]}),
        ("PATCH", "", {"name": "Mine"}),
        ("POST", "/leave", None),
        ("DELETE", "", None),
    ],
)
async def test_they_do_nothing_else(
    acme: Team, vera: Person, method: str, path: str, body: dict[str, Any] | None
) -> None:
    before = await acme.ledger()
    answer = await vera.ask(method, f"{acme.path}{path}", json=body)
    refused(answer, 404, "unknown_organization")
    assert await acme.ledger() == before
    assert not await acme.can(vera, "audit_view")


async def test_a_member_who_may_not_audit_is_allowed_to_as_an_auditor_of_all(acme: Team) -> None:
    bob = (await enlist(acme, {"bob": ["support"]}))["bob"]
    refused(await bob.ask("GET", f"{acme.path}/audit/matrix"), 403, "missing_permission")
    async with acme.world.operator() as change:
        await grant_auditor(change, bob.email, WHY, None)
    assert (await bob.ask("GET", f"{acme.path}/audit/matrix")).status_code == 200
    refused(await acme.act("suspend", acme.administrator, by=bob), 403, "missing_permission")


async def test_who_is_revoked_is_a_stranger_at_once(acme: Team, vera: Person) -> None:
    async with acme.world.operator() as change:
        await revoke_auditor(change, vera.id, "it is over")
    await hidden(vera, acme)


async def test_who_has_ended_is_a_stranger_and_not_listed(acme: Team, vera: Person) -> None:
    ends = "UPDATE auditors SET expires_at = $1 WHERE user_id = $2"
    end = await acme.world.service.now()
    await unseen(acme.world, ends, end + timedelta(hours=1), vera.id)
    assert (await vera.ask("GET", f"{acme.path}/audit/matrix")).status_code == 200
    await unseen(acme.world, ends, end, vera.id)
    await hidden(vera, acme)
    async with acme.world.service.reads() as session:
        assert not await is_auditor(session, vera.id, end)
        assert await is_auditor(session, vera.id, end - timedelta(microseconds=1))


async def test_no_machine_audits_for_them(acme: Team, globex: Team) -> None:
    bob = (await enlist(acme, {"bob": []}))["bob"]
    site = await backend(acme, "audit_view")
    async with acme.world.operator() as change:
        await grant_auditor(change, bob.email, WHY, None)
    assert (await bob.ask("GET", f"{globex.path}/audit/matrix")).status_code == 200
    await hidden(acting(site, bob.id), globex)
    await hidden(site, globex)
    answer = await acting(site, bob.id).ask("GET", f"{acme.path}/audit/matrix")
    refused(answer, 403, "missing_permission")


async def test_an_operator_names_lists_and_ends_them(run: Run, fintoc: World, acme: Team) -> None:
    email = f"Vera-{secrets.token_hex(4)}@auditors.example"
    granted = await run("operator", "grant-auditor", email, "--reason", WHY, "--json")
    assert granted.exit_code == 0, granted.output
    told = json.loads(granted.stdout)
    assert told["until"] is None
    vera = Person(fintoc, told["user"], email.lower(), await fintoc.token(told["user"]))
    async with fintoc.service.reads() as session:
        assert (await session.get_one(User, vera.id)).email == vera.email
    assert (await vera.ask("GET", f"{acme.path}/audit/matrix")).status_code == 200

    end = (await fintoc.service.now() + timedelta(days=30)).replace(microsecond=0)
    again = ("operator", "grant-auditor", email, "--reason", "one more month", "--until")
    assert end.isoformat() in (await run(*again, end.isoformat())).stdout
    assert f"({vera.id}) since 20" in (await run("operator", "auditors")).stdout
    listed = json.loads((await run("operator", "auditors", "--json")).stdout)["auditors"]
    [mine] = [each for each in listed if each["user"] == vera.id]
    assert (mine["email"], mine["by"][:9]) == (vera.email, "operator:")

    ended = await run("operator", "revoke-auditor", email, "--reason", "it is over")
    assert (ended.exit_code, "no auditor" in ended.stdout) == (0, True)
    await hidden(vera, acme)
    assert vera.id not in (await run("operator", "auditors")).stdout
    assert [
        (event.kind, event.channel, besides_proofs(event.details), why)
        for event, why in await platform(fintoc, vera)
    ] == [
        ("auditor_granted", "operator", {"until": None}, WHY),
        ("auditor_granted", "operator", {"until": end.isoformat()}, "one more month"),
        ("auditor_revoked", "operator", {}, "it is over"),
    ]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["grant-auditor", "nobody", "--reason", "x"], "is not a valid e-mail address"),
        (["grant-auditor", "v@a.example", "--reason", " "], "1 to 1000 characters"),
        (["grant-auditor", "v@a.example"], "Missing option '--reason'"),
        (
            ["grant-auditor", "v@a.example", "--reason", "x", "--until", "soon"],
            "'soon' is not a time. Write 2026-03-31",
        ),
        (
            ["grant-auditor", "v@a.example", "--reason", "x", "--until", "2020-01-01"],
            "expires_at must be in the future; got 2020-01-01T00:00:00+00:00.",
        ),
        (["revoke-auditor", "nobody@a.example", "--reason", "x"], "There is no user nobody@"),
    ],
)
async def test_a_mistake_is_told_and_names_nobody(run: Run, words: list[str], told: str) -> None:
    answer = await run("operator", *words)
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert told in answer.stderr
    assert "v@a.example" not in (await run("operator", "auditors")).stdout


async def test_who_is_none_cannot_be_revoked(run: Run, acme: Team) -> None:
    ana = acme.administrator
    answer = await run("operator", "revoke-auditor", ana.email, "--reason", "x")
    assert answer.exit_code == 2
    assert answer.stderr.startswith(f"{ana.email} is not an auditor of all organizations.")
    assert (await ana.ask("GET", f"{acme.path}/audit/matrix")).status_code == 200
