"""The limits of one stranger and of one tenant. They never use up the share of others."""

import asyncio
import re
import secrets
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import ColumnElement, func, literal_column, select, text
from sqlalchemy.ext.asyncio import create_async_engine

from teamaccess.changes import Ledger
from teamaccess.common.configuration import limits
from teamaccess.common.configuration.settings import InvalidSettings, Settings
from teamaccess.common.postgres.address import sqlalchemy_url
from teamaccess.directory.invitations.limits import refuse_flood
from teamaccess.storage import Invitation, InvitationMail, OrganizationId
from teamaccess.storage import Organization as OrganizationRow
from teamaccess.storage.directory.user import MAILBOX_SQL, TAGGED, mailbox
from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.resources import (
    add_resources,
    batch_item,
    change_resources,
    grant_to,
    register_resource,
    remove_resource,
    set_grants,
)
from tests.support.responses import refused
from tests.support.teams import Team

Limit = Callable[..., None]


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Limit:
    """Sets limits of the test's own."""

    def set_limits(**wanted: int) -> None:
        mine = limits.Limits(**wanted)
        monkeypatch.setattr(Ledger, "limits", mine)

    return set_limits


async def invite(where: str, address: str, by: Person, role: str = "read") -> httpx.Response:
    """Invite an address."""
    body = {"email": address, "roles": [role]}
    return await by.ask("POST", f"/v1/organizations/{where}/invitations", json=body)


async def found_organization(by: Person) -> httpx.Response:
    """Found an organization."""
    body = {"id": f"spam-{secrets.token_hex(6)}", "name": "Spam"}
    return await by.ask("POST", "/v1/organizations", json=body)


def somebody(domain: str = "victim.example") -> str:
    """An address that no other test uses."""
    return f"v{secrets.token_hex(6)}@{domain}"


def assert_limit_reached(response: httpx.Response, name: str, most: int) -> None:
    """The refusal names the limit and the way out."""
    problem = refused(response, 409, "limit_reached")
    assert problem["limit"] == name
    assert problem["most"] == most
    assert "ask an operator" in problem["detail"]


# --- mails ---


async def test_invitations_of_strangers_do_not_use_up_others_share_of_an_address(
    finicom: Deployment, initech: Organization
) -> None:
    victim = somebody()
    for _ in range(4):
        stranger = await finicom.create_organization("stranger")
        for _ in range(10):
            invited = await invite(stranger.id, victim, stranger.administrator)
            assert invited.status_code == 201, invited.text
            path = f"{stranger.path}/invitations/{invited.json()['id']}"
            assert (await stranger.administrator.ask("DELETE", path)).status_code == 204
        refused(await invite(stranger.id, victim, stranger.administrator), 429, "sent_too_often")
    assert (await invite(initech.id, victim, initech.administrator)).status_code == 201


@pytest.mark.parametrize("domain", ["victim.example", "gmail.com"])
async def test_plus_tags_and_dots_count_as_the_same_mailbox(
    initech: Organization, domain: str
) -> None:
    local = f"victim{secrets.token_hex(4)}"
    spelled = [f"{local}+{number}@{domain}" for number in range(9)]
    last = f"{local[:3]}.{local[3:]}@{domain}" if domain == "gmail.com" else f"{local}@{domain}"
    for address in [*spelled, last]:
        assert (await invite(initech.id, address, initech.administrator)).status_code == 201
    answer = await invite(initech.id, f"{local}+x@{domain}", initech.administrator)
    assert int(answer.headers["Retry-After"]) > 0
    refused(answer, 429, "sent_too_often")


async def test_a_person_with_many_organizations_has_one_share_of_a_mailbox(
    initech: Organization,
) -> None:
    mallory, victim = initech.administrator, somebody()
    answers: list[httpx.Response] = []
    for _ in range(3):
        where = (await found_organization(mallory)).json()["id"]
        tagged = [victim.replace("@", f"+{number}@") for number in range(5)]
        answers += [await invite(where, address, mallory) for address in tagged]
    assert [each.status_code for each in answers[:10]] == [201] * 10
    for each in answers[10:]:
        refused(each, 429, "sent_too_often")


async def test_deleting_an_organization_does_not_reset_mail_limits(initech: Organization) -> None:
    mallory, victim = initech.administrator, somebody()
    sent, where = 0, ""
    for _ in range(3):
        where = (await found_organization(mallory)).json()["id"]
        for number in range(5):
            answer = await invite(where, victim.replace("@", f"+{number}@"), mallory)
            sent += answer.status_code == 201
        assert (await mallory.ask("DELETE", f"/v1/organizations/{where}")).status_code == 204
    assert sent == 10
    async with initech.deployment.service.reads() as session:
        left = await session.scalars(
            select(Invitation).where(Invitation.organization_id == OrganizationId(where))
        )
        assert left.all() == []


async def test_a_colleague_who_resends_takes_over_no_mails_of_another(
    initech: Organization, limit: Limit
) -> None:
    """Each mail counts for its own sender, even when another member sends the next one."""
    limit(invitations_a_day_by_one_person=3)
    ana = initech.administrator
    ben = (await initech.add_members({"ben": ["admin"]}))["ben"]
    where = f"{initech.path}/invitations"
    first = (await invite(initech.id, somebody(), ana)).json()["id"]
    assert (await ana.ask("POST", f"{where}/{first}/resend")).is_success
    assert (await ben.ask("POST", f"{where}/{first}/resend")).is_success

    assert (await invite(initech.id, somebody(), ana)).status_code == 201
    refused(await invite(initech.id, somebody(), ana), 429, "invited_too_often")
    assert (await ben.ask("POST", f"{where}/{first}/resend")).is_success
    assert (await invite(initech.id, somebody(), ben)).status_code == 201
    refused(await invite(initech.id, somebody(), ben), 429, "invited_too_often")


async def test_only_mails_of_the_last_day_count(initech: Organization, limit: Limit) -> None:
    """An invitation that is sent again every day has one mail a day."""
    limit(invitations_a_day_to_one_mailbox=1, invitations_a_day_by_one_person_to_one_mailbox=1)
    id = (await initech.invite("bob", ["read"])).json()["id"]
    for _ in range(3):
        await initech.backdate_invitation(id, by=timedelta(days=1, minutes=1))
        path = f"{initech.path}/invitations/{id}/resend"
        assert (await initech.administrator.ask("POST", path)).is_success
        refused(await initech.administrator.ask("POST", path), 429, "sent_too_often")


async def test_spellings_of_a_mailbox_in_another_case_count_together(
    initech: Organization, limit: Limit
) -> None:
    limit(invitations_a_day_to_one_mailbox=1)
    for address, answer in (("Ünal+a", 201), ("ünal", 429), ("ÜNAL+b", 429)):
        sent = await invite(initech.id, f"{address}@{initech.id}.example", initech.administrator)
        assert sent.status_code == answer, sent.text


async def test_a_second_account_of_the_same_mailbox_is_the_same_person(
    finicom: Deployment, initech: Organization
) -> None:
    mallory, victim = initech.administrator, somebody()
    for _ in range(10):
        id = (await invite(initech.id, victim, mallory)).json()["id"]
        await mallory.ask("DELETE", f"{initech.path}/invitations/{id}")
    other = await finicom.create_organization("other")
    tagged = mallory.email.replace("@", "+2@")
    assert (await invite(other.id, tagged, other.administrator, "admin")).status_code == 201
    second = await signed_up(other, tagged)
    refused(await invite(other.id, victim, second, "read"), 429, "sent_too_often")


async def signed_up(organization: Organization, address: str) -> Person:
    """Accept the newest invitation to an address as a new user."""
    body = {"token": organization.deployment.invitation_token(address)}
    accepted = await organization.deployment.http.post("/v1/invitations/accept", json=body)
    assert accepted.status_code == 200, accepted.text
    reported = accepted.json()
    return Person(organization.deployment, reported["user"], address, reported["access_token"])


async def test_one_person_has_a_daily_limit_of_mails(initech: Organization, limit: Limit) -> None:
    limit(invitations_a_day_by_one_person=3)
    for _ in range(3):
        assert (await invite(initech.id, somebody(), initech.administrator)).status_code == 201
    refused(await invite(initech.id, somebody(), initech.administrator), 429, "invited_too_often")


@pytest.mark.parametrize("accounts", [1, 2])
async def test_concurrent_mails_of_several_organizations_do_not_exceed_the_limit(
    finicom: Deployment, limit: Limit, monkeypatch: pytest.MonkeyPatch, accounts: int
) -> None:
    """Two accounts of one mailbox are one person. All are judged before the first one is committed."""
    mallory = (await finicom.create_organization("mallory")).administrator
    people = [mallory]
    if accounts == 2:
        other, tagged = (
            await finicom.create_organization("other"),
            mallory.email.replace("@", "+2@"),
        )
        assert (await invite(other.id, tagged, other.administrator, "admin")).status_code == 201
        people.append(await signed_up(other, tagged))
    senders = [person for person in people for _ in range(4 // accounts)]
    ids = [(await found_organization(person)).json()["id"] for person in senders]
    judged, all_judged = 0, asyncio.Event()

    async def together(*about: Any) -> None:
        nonlocal judged
        try:
            await refuse_flood(*about)
        finally:
            judged += 1
            if judged == len(senders):
                all_judged.set()
        await all_judged.wait()

    limit(invitations_a_day_by_one_person=1)
    monkeypatch.setattr("teamaccess.directory.invitations.offer.refuse_flood", together)
    asked = [invite(id, somebody(), by) for id, by in zip(ids, senders, strict=True)]
    answers = await asyncio.gather(*asked)
    assert sorted(each.status_code for each in answers) == [201, 429, 429, 429]
    codes = {each.json()["code"] for each in answers if each.status_code == 429}
    assert codes == {"inviting_elsewhere"}
    assert await sent_by(finicom, *people) == 1
    refused(await invite(ids[0], somebody(), senders[0]), 429, "invited_too_often")


async def sent_by(deployment: Deployment, *people: Person) -> int:
    """How many mails these have caused."""
    theirs = InvitationMail.sent_by.in_([each.id for each in people])
    async with deployment.service.reads() as session:
        return (await session.execute(select(func.count()).where(theirs))).scalar_one()


async def test_an_organization_has_a_limit_of_open_invitations(
    initech: Organization, limit: Limit
) -> None:
    limit(pending_invitations=2)
    invited = [await invite(initech.id, somebody(), initech.administrator) for _ in range(2)]
    ids = [each.json()["id"] for each in invited]
    assert_limit_reached(
        await invite(initech.id, somebody(), initech.administrator), "pending_invitations", 2
    )
    await initech.administrator.ask("DELETE", f"{initech.path}/invitations/{ids[0]}")
    assert (await invite(initech.id, somebody(), initech.administrator)).status_code == 201


ADDRESSES = st.from_regex(
    r"[a-z.+]{0,8}[a-z]@(gmail\.com|googlemail\.com|x\.example)", fullmatch=True
)


async def test_postgresql_and_python_agree_on_mailboxes(fintoc: Deployment) -> None:
    seen: set[str] = set()

    @given(ADDRESSES)
    def collect(address: str) -> None:
        seen.add(address)

    collect()
    spelled = [*seen, "+tag@x.example", "a+b+c@x.example", "a.b+c@googlemail.com"]
    box: ColumnElement[str] = literal_column(MAILBOX_SQL.format(email="address"))
    question = select(box).select_from(
        text("unnest(CAST(:spelled AS text[])) WITH ORDINALITY AS given(address, number)")
    )
    async with fintoc.service.reads() as session:
        rows = await session.execute(question.order_by(text("number")), {"spelled": spelled})
        assert [row[0] for row in rows] == [mailbox(each) for each in spelled]


# --- organizations ---


async def test_a_person_cannot_create_sixty_organizations_in_a_row(initech: Organization) -> None:
    mallory = initech.administrator
    founded = [await found_organization(mallory) for _ in range(11)]
    assert [each.status_code for each in founded[:10]] == [201] * 10
    assert int(founded[10].headers["Retry-After"]) > 0
    refused(founded[10], 429, "founded_too_often")
    # and neither concurrency nor deletion avoids the limit
    for each in founded[:10]:
        await mallory.ask("DELETE", f"/v1/organizations/{each.json()['id']}")
    answers = await asyncio.gather(*(found_organization(mallory) for _ in range(8)))
    assert {each.status_code for each in answers} == {429}


async def test_concurrent_attempts_do_not_exceed_the_limit(
    initech: Organization, limit: Limit
) -> None:
    limit(organizations_founded_a_day=3)
    answers = await asyncio.gather(*(found_organization(initech.administrator) for _ in range(12)))
    assert sum(each.status_code == 201 for each in answers) <= 3
    codes = {each.json()["code"] for each in answers if each.status_code != 201}
    assert codes <= {"founded_too_often", "founding_in_progress"}


async def test_a_person_at_the_limit_deletes_an_organization_or_asks_an_operator(
    initech: Organization, limit: Limit
) -> None:
    limit(organizations_founded=2)
    mallory = initech.administrator
    ids = [(await found_organization(mallory)).json()["id"] for _ in range(2)]
    problem = refused(await found_organization(mallory), 409, "too_many_organizations")
    assert problem["most"] == "2" or problem["most"] == 2
    await mallory.ask("DELETE", f"/v1/organizations/{ids[0]}")
    assert (await found_organization(mallory)).status_code == 201
    operator = await initech.deployment.operator_person()
    for _ in range(3):
        assert (await found_organization(operator)).status_code == 201


async def test_the_limit_of_created_organizations_counts_for_each_person(
    finicom: Deployment, initech: Organization
) -> None:
    for _ in range(11):
        await found_organization(initech.administrator)
    other = await finicom.create_organization("other")
    assert (await found_organization(other.administrator)).status_code == 201


async def test_the_creator_of_an_organization_is_recorded(initech: Organization) -> None:
    id = (await found_organization(initech.administrator)).json()["id"]
    async with initech.deployment.service.reads() as session:
        row = await session.get_one(OrganizationRow, OrganizationId(id))
        assert row.founded_by == initech.administrator.id


# --- limits of an organization ---


async def test_teams_and_their_members_have_a_limit(acme: Organization, limit: Limit) -> None:
    people = await acme.add_members({"bob": ["support"], "eve": ["support"]})
    limit(teams=2, team_members=1)
    team = await Team.create(acme, "one")
    await Team.create(acme, "two")
    body = {"id": "three", "name": "Three"}
    assert_limit_reached(
        await acme.administrator.ask("POST", f"{acme.path}/teams", json=body), "teams", 2
    )
    assert (await team.add_member(people["bob"])).is_success
    assert_limit_reached(await team.add_member(people["eve"]), "team_members", 1)
    await team.delete()
    assert (await acme.administrator.ask("POST", f"{acme.path}/teams", json=body)).is_success


async def test_custom_roles_have_a_limit_for_creating_and_cloning(
    acme: Organization, limit: Limit
) -> None:
    limit(roles=1)
    where = f"{acme.path}/roles"
    role: dict[str, Any] = {"id": "one", "name": "One", "actions": ["refunds_create"]}
    assert (await acme.administrator.ask("POST", where, json=role)).status_code == 201
    assert_limit_reached(
        await acme.administrator.ask("POST", where, json={**role, "id": "two", "name": "Two"}),
        "roles",
        1,
    )
    clone = {"id": "two", "name": "Two", "clone_of": "one"}
    cloned = await acme.administrator.ask("POST", where, json=clone)
    assert_limit_reached(cloned, "roles", 1)


async def test_service_accounts_and_their_tokens_have_a_limit(
    acme: Organization, limit: Limit
) -> None:
    limit(service_accounts=1, tokens_per_service_account=2)
    where, ana = f"{acme.path}/service-accounts", acme.administrator
    made = await ana.ask("POST", where, json={"name": "nightly", "roles": []})
    assert made.status_code == 201, made.text
    assert_limit_reached(
        await ana.ask("POST", where, json={"name": "x", "roles": []}), "service_accounts", 1
    )
    tokens = f"{where}/{made.json()['id']}/tokens"
    ids = [(await ana.ask("POST", tokens, json={"name": "t"})).json()["id"] for _ in range(2)]
    assert_limit_reached(
        await ana.ask("POST", tokens, json={"name": "t"}), "tokens_per_service_account", 2
    )
    assert_limit_reached(
        await ana.ask("POST", f"{tokens}/{ids[0]}/rotate", json={}), "tokens_per_service_account", 2
    )
    assert (await ana.ask("DELETE", f"{tokens}/{ids[0]}")).is_success
    assert (await ana.ask("POST", tokens, json={"name": "t"})).status_code == 201


async def test_resources_have_a_limit_singly_and_in_batches(
    acme: Organization, limit: Limit
) -> None:
    limit(objects=3)
    await add_resources(acme, "webhook:a", "webhook:b")
    two_more = [batch_item("webhook:c"), batch_item("webhook:d")]
    assert_limit_reached(await change_resources(acme, two_more), "objects", 3)
    assert (
        await change_resources(acme, [batch_item("webhook:a"), batch_item("webhook:c")])
    ).is_success
    assert_limit_reached(await register_resource(acme, "webhook:d"), "objects", 3)
    assert_limit_reached(
        await change_resources(acme, [batch_item(f"webhook:{number}") for number in range(9)]),
        "objects",
        3,
    )
    assert (await remove_resource(acme, "webhook:a")).is_success
    assert (await register_resource(acme, "webhook:d")).is_success


async def test_grants_have_a_limit(acme: Organization, limit: Limit) -> None:
    people = await acme.add_members({"bob": ["support"], "eve": ["support"]})
    await add_resources(acme, "webhook:a", "webhook:b")
    limit(grants=1)
    assert (await set_grants(acme, "webhook:a", grant_to(people["bob"], "edit"))).is_success
    assert_limit_reached(
        await set_grants(acme, "webhook:b", grant_to(people["bob"], "edit")), "grants", 1
    )
    assert (await set_grants(acme, "webhook:a", grant_to(people["eve"], "edit"))).is_success


async def test_members_have_a_limit_that_operators_may_exceed(
    acme: Organization, limit: Limit
) -> None:
    limit(members=1)
    assert (await acme.invite("bob", ["support"])).status_code == 201
    assert_limit_reached(await acme.accept("bob"), "members", 1)
    await acme.add_members({"max": ["support"]})
    limit(members=3)
    assert (await acme.accept("bob")).status_code == 200


async def test_limits_count_for_each_tenant(
    acme: Organization, globex: Organization, limit: Limit
) -> None:
    limit(teams=1, objects=1, roles=1)
    for organization in (acme, globex):
        await Team.create(organization, "one")
        await add_resources(organization, "webhook:a")


async def test_a_service_account_is_counted_separately(initech: Organization, limit: Limit) -> None:
    limit(invitations_a_day_by_one_person_to_one_mailbox=1)
    robot = await initech.add_service_account("admin")
    victim = somebody()
    invited = await invite(initech.id, victim, robot)
    assert invited.status_code == 201
    where = f"{initech.path}/invitations/{invited.json()['id']}"
    resent = await robot.ask("POST", f"{where}/resend")
    refused(resent, 429, "sent_too_often")


# --- the settings ---


def test_the_page_for_operators_lists_every_limit_with_its_default() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "limits.md").read_text()
    reported = dict(re.findall(r"^\| `LIMIT_([A-Z_]+)` \|.*\| ([\d,]+) \|$", page, re.MULTILINE))
    assert {name.lower(): int(most.replace(",", "")) for name, most in reported.items()} == (
        limits.Limits.model_construct().model_dump()
    )


def test_an_invalid_limit_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = {
        "HOME": str(tmp_path),
        "DATABASE_URL": "postgresql:///t",
        "SPICEDB_ENDPOINT": "127.0.0.1:1",
        "SPICEDB_PRESHARED_KEY": "key",
        "SECRET_KEY": "a secret of nobody",
    }
    for name, value in needed.items():
        monkeypatch.setenv(f"TEAMACCESS_{name}", value)
    monkeypatch.setenv("TEAMACCESS_LIMIT_TEAMS", "7")
    assert Settings.discover().limits.teams == 7
    monkeypatch.setenv("TEAMACCESS_LIMIT_TEAMS", "none")
    with pytest.raises(InvalidSettings, match="TEAMACCESS_LIMIT_TEAMS"):
        Settings.discover()


MANY = """
INSERT INTO invitation_mails (organization_id, mailbox, sent_by, sent_at)
SELECT CASE n % 2 WHEN 0 THEN CAST(:organization AS text) ELSE 'o' || n END,
  'n' || n || '@x.example', CAST(:user AS text) || n,
  now() - n * interval '1 second'
FROM generate_series(1, 3000) AS n
"""


async def test_checking_a_limit_costs_one_index_lookup(initech: Organization) -> None:
    """Each question that a limit asks finds its rows by an index made for it."""
    questions = {
        "invitation_mails_organization_idx": f"""SELECT count(*) FROM invitation_mails
            WHERE organization_id = '{initech.id}' AND sent_at > now() - interval '1 hour'""",
        "invitation_mails_mailbox_idx": f"""SELECT count(*) FROM invitation_mails
            WHERE organization_id = '{initech.id}' AND mailbox = 'b@x.example'
            AND sent_at > now() - interval '1 day'""",
        "invitation_mails_sender_idx": """SELECT count(*) FROM invitation_mails
            WHERE sent_by = 'a' AND sent_at > now() - interval '1 day'""",
        "invitation_mails_sent_at_idx": """SELECT id FROM invitation_mails
            WHERE sent_at <= now() - interval '1 day' ORDER BY sent_at LIMIT 10""",
        "organizations_founded_by_idx": "SELECT count(*) FROM organizations WHERE founded_by = 'a'",
        "resources_present_idx": """SELECT 1 FROM resources
            WHERE organization_id = 'a' AND removed_at IS NULL OFFSET 9 LIMIT 1""",
        "users_mailbox_idx": f"""SELECT id FROM users
            WHERE {TAGGED} AND {MAILBOX_SQL.format(email="users.email")} = 'b@x.example'""",
    }
    engine = create_async_engine(sqlalchemy_url(initech.deployment.owner_url))
    async with engine.connect() as connection:
        await connection.execute(
            text(MANY), {"organization": initech.id, "user": initech.administrator.id}
        )
        await connection.execute(text("ANALYZE invitation_mails"))
        await connection.execute(text("SET LOCAL enable_seqscan = off"))
        for index, question in questions.items():
            plan = (await connection.scalars(text(f"EXPLAIN {question}"))).all()
            assert index in "\n".join(plan), plan
        await connection.rollback()
    await engine.dispose()


async def test_large_counts_are_taken_rarely(acme: Organization, limit: Limit) -> None:
    """A large organization's changes do not wait for a count each time."""
    counted = acme.deployment.service.ledger._counted
    for number in range(3):
        assert (await register_resource(acme, f"webhook:{number}")).is_success
        assert (
            counted[acme.id, "objects"][1] == 0
        )  # counted before the first one: enough room is left
    limit(objects=3)
    assert_limit_reached(await register_resource(acme, "webhook:3"), "objects", 3)


async def test_what_is_not_committed_counts_for_no_later_change(
    acme: Organization, limit: Limit
) -> None:
    """A plan that removes everything must not leave a small count behind."""
    counted = acme.deployment.service.ledger._counted
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    await add_resources(acme, "webhook:a", "webhook:b")
    for name in ("webhook:a", "webhook:b"):
        limit(grants=2)  # so close to the limit that each change counts
        assert (await set_grants(acme, name, grant_to(bob, "edit"))).is_success
    before = counted[acme.id, "grants"]
    changes = [
        {"change": "set_grants", "object": "webhook:a", "grants": []},
        {"change": "set_grants", "object": "webhook:b", "grants": []},
        {"change": "grant", "object": "webhook:a", "action": "delete", "user": bob.id},
    ]
    planned = await acme.administrator.ask(
        "POST", f"{acme.path}/audit/plan", json={"changes": changes}
    )
    assert planned.status_code == 200, planned.text
    assert planned.json()["refusal"] is None
    assert counted[acme.id, "grants"] == before
