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
from tests.support.command_line import Run
from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.responses import refused, without_proofs

WHY = "the yearly audit, contract 4711"
QUESTIONS = (
    "who-can?action=refunds_create",
    "what-can?user={}",
    "matrix",
    "why?user={}&action=refunds_create",
)


@pytest.fixture
async def vera(fintoc: Deployment) -> Person:
    """An auditor of all organizations, member of none."""
    email = f"vera-{secrets.token_hex(4)}@auditors.example"
    async with fintoc.operator() as change:
        user = await grant_auditor(change, email, WHY, None)
    return Person(fintoc, user.id, email, await fintoc.token(user.id))


async def ask_everything(who: Person, organization: Organization) -> list[httpx.Response]:
    """The answers to every question about an organization."""
    about = organization.administrator.id
    return [
        await who.ask("GET", f"{organization.path}/audit/{each.format(about)}")
        for each in QUESTIONS
    ]


async def assert_hidden(who: Person, organization: Organization) -> None:
    """Assert that every question is answered as if the organization did not exist."""
    for answer in await ask_everything(who, organization):
        refused(answer, 404, "unknown_organization")


async def platform_events(deployment: Deployment, about: Person) -> list[tuple[Event, str]]:
    """The platform's events about a user, with their reasons."""
    reported = select(Event, Reason.text).join(Reason, Reason.hash == Event.reason_hash)
    mine = reported.where(Event.chain == Event.PLATFORM, Event.subject == f"user:{about.id}")
    async with deployment.service.reads() as session:
        rows = await session.execute(mine.order_by(Event.position))
        return [(event, text) for event, text in rows]


async def test_auditors_of_all_organizations_ask_every_question_about_each(
    acme: Organization, globex: Organization, vera: Person
) -> None:
    for organization in (acme, globex):
        assert [answer.status_code for answer in await ask_everything(vera, organization)] == [
            200
        ] * 4
        matrix = (await vera.ask("GET", f"{organization.path}/audit/matrix")).json()
        assert [row["user"] for row in matrix["items"]] == [organization.administrator.id]
    for path in ("/v1/organizations/no-such-one", "/v1/organizations/No%20id"):
        refused(await vera.ask("GET", f"{path}/audit/matrix"), 404, "unknown_organization")
    await globex.administrator.ask("DELETE", globex.path)
    await assert_hidden(vera, globex)


async def listed_organizations(who: Person) -> set[str]:
    """The organizations that an auditor can list."""
    reported: set[str] = set()
    page: dict[str, Any] = {"limit": 1000, "all": "true"}
    while True:
        found = (await who.ask("GET", "/v1/organizations", params=page)).raise_for_status().json()
        reported |= {each["id"] for each in found["items"]}
        if found["next_cursor"] is None:
            return reported
        page["cursor"] = found["next_cursor"]


async def test_auditors_list_all_organizations_until_they_are_revoked(
    acme: Organization, globex: Organization, vera: Person
) -> None:
    await globex.administrator.ask("DELETE", globex.path)
    assert (await vera.ask("GET", "/v1/organizations")).json()["items"] == []
    reported = await listed_organizations(vera)
    assert acme.id in reported
    assert globex.id not in reported
    async with acme.deployment.operator() as change:
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
async def test_auditors_of_all_organizations_can_do_nothing_else(
    acme: Organization, vera: Person, method: str, path: str, body: dict[str, Any] | None
) -> None:
    before = await acme.ledger()
    answer = await vera.ask(method, f"{acme.path}{path}", json=body)
    refused(answer, 404, "unknown_organization")
    assert await acme.ledger() == before
    assert not await acme.can(vera, "audit_view")


async def test_a_member_without_the_permission_may_audit_as_an_auditor_of_all(
    acme: Organization,
) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    refused(await bob.ask("GET", f"{acme.path}/audit/matrix"), 403, "missing_permission")
    async with acme.deployment.operator() as change:
        await grant_auditor(change, bob.email, WHY, None)
    assert (await bob.ask("GET", f"{acme.path}/audit/matrix")).status_code == 200
    refused(await acme.suspend(acme.administrator, by=bob), 403, "missing_permission")


async def test_a_revoked_auditor_is_a_stranger_at_once(acme: Organization, vera: Person) -> None:
    async with acme.deployment.operator() as change:
        await revoke_auditor(change, vera.id, "it is over")
    await assert_hidden(vera, acme)


async def test_an_expired_auditor_is_a_stranger_and_not_listed(
    acme: Organization, vera: Person
) -> None:
    ends = "UPDATE auditors SET expires_at = $1 WHERE user_id = $2"
    end = await acme.deployment.service.now()
    await acme.deployment.execute_without_triggers(ends, end + timedelta(hours=1), vera.id)
    assert (await vera.ask("GET", f"{acme.path}/audit/matrix")).status_code == 200
    await acme.deployment.execute_without_triggers(ends, end, vera.id)
    await assert_hidden(vera, acme)
    async with acme.deployment.service.reads() as session:
        assert not await is_auditor(session, vera.id, end)
        assert await is_auditor(session, vera.id, end - timedelta(microseconds=1))


async def test_service_accounts_cannot_audit_on_behalf_of_an_auditor(
    acme: Organization, globex: Organization
) -> None:
    bob = (await acme.add_members({"bob": []}))["bob"]
    backend = await acme.add_backend_account("audit_view")
    async with acme.deployment.operator() as change:
        await grant_auditor(change, bob.email, WHY, None)
    assert (await bob.ask("GET", f"{globex.path}/audit/matrix")).status_code == 200
    await assert_hidden(backend.on_behalf_of(bob.id), globex)
    await assert_hidden(backend, globex)
    answer = await backend.on_behalf_of(bob.id).ask("GET", f"{acme.path}/audit/matrix")
    refused(answer, 403, "missing_permission")


async def test_an_operator_grants_lists_and_revokes_auditors(
    run: Run, fintoc: Deployment, acme: Organization
) -> None:
    email = f"Vera-{secrets.token_hex(4)}@auditors.example"
    granted = await run("operator", "grant-auditor", email, "--reason", WHY, "--json")
    assert granted.exit_code == 0, granted.output
    reported = json.loads(granted.stdout)
    assert reported["until"] is None
    vera = Person(fintoc, reported["user"], email.lower(), await fintoc.token(reported["user"]))
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
    assert (ended.exit_code, "no longer an auditor" in ended.stdout) == (0, True)
    await assert_hidden(vera, acme)
    assert vera.id not in (await run("operator", "auditors")).stdout
    assert [
        (event.kind, event.channel, without_proofs(event.details), why)
        for event, why in await platform_events(fintoc, vera)
    ] == [
        ("auditor_granted", "operator", {"until": None}, WHY),
        ("auditor_granted", "operator", {"until": end.isoformat()}, "one more month"),
        ("auditor_revoked", "operator", {}, "it is over"),
    ]


@pytest.mark.parametrize(
    ("words", "reported"),
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
async def test_a_mistake_in_the_command_is_refused_and_grants_nothing(
    run: Run, words: list[str], reported: str
) -> None:
    answer = await run("operator", *words)
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert reported in answer.stderr
    assert "v@a.example" not in (await run("operator", "auditors")).stdout


async def test_a_user_who_is_not_an_auditor_cannot_be_revoked(run: Run, acme: Organization) -> None:
    ana = acme.administrator
    answer = await run("operator", "revoke-auditor", ana.email, "--reason", "x")
    assert answer.exit_code == 2
    assert answer.stderr.startswith(f"{ana.email} is not an auditor of all organizations.")
    assert (await ana.ask("GET", f"{acme.path}/audit/matrix")).status_code == 200
