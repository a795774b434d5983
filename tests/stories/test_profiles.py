"""A user's address and name follow what their login says."""

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from asyncpg import Connection
from sqlalchemy import text

from teamaccess.ledger.chains.read_chains import snapshot
from teamaccess.ledger.chains.verify import verify_chains
from teamaccess.storage import Event, User
from tests.oidc.login import API, Login
from tests.oidc.provider import Provider
from tests.support.command_line import Run
from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.responses import refused
from tests.support.spicedb_proxy import another_process, wait_until


@pytest.fixture
def acme(organization: Organization) -> Organization:
    return organization


@pytest.fixture
def login_commands(run: Run, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs commands with the issuer in the settings."""
    monkeypatch.setenv("TEAMACCESS_OIDC_ISSUER", provider.issuer)
    monkeypatch.setenv("TEAMACCESS_OIDC_AUDIENCE", API)
    return run


def ago(seconds: int) -> int:
    """A time of issue. Tokens have whole seconds, so tests say in which order they were issued."""
    return int(time.time()) - seconds


async def accept(acme: Organization, login: Login, invited: str, **claims: Any) -> Any:
    """Accept the newest invitation to a name, signed in with a token."""
    secret = acme.deployment.invitation_token(acme.address(invited))
    return await login.ask(
        "POST", "/v1/invitations/accept", login.token(**claims), json={"token": secret}
    )


async def kinds_about(deployment: Deployment, user: str) -> list[str]:
    """The kinds of the platform's events about a user."""
    events = await deployment.events(Event.PLATFORM)
    return [event.kind for event in events if event.subject == f"user:{user}"]


async def emails(acme: Organization) -> set[str | None]:
    """The addresses in the list of members."""
    answer = await acme.administrator.ask("GET", f"{acme.path}/members")
    return {member["email"] for member in answer.json()["items"]}


async def test_an_address_that_is_verified_later_belongs_to_the_user_then(
    acme: Organization, eve: Login
) -> None:
    first = (await eve.me(eve.token(email_verified=False, iat=ago(60)))).json()
    assert first["email"] is None
    await acme.invite("eve", ["support"])
    not_yet = await accept(acme, eve, "eve", email_verified=False, iat=ago(50))
    problem = refused(not_yet, 403, "accepts_for_somebody_else")
    assert "does not confirm your e-mail address" in problem["detail"]

    assert (await accept(acme, eve, "eve", iat=ago(30))).status_code == 200

    me = (await eve.me()).json()
    assert (me["id"], me["email"]) == (first["id"], acme.address("eve"))
    assert await acme.roles_by_member() == {
        acme.administrator.id: ["administrator"],
        first["id"]: ["support"],
    }
    assert await kinds_about(acme.deployment, me["id"]) == ["login_linked", "user_profile_changed"]


async def test_a_new_address_replaces_the_old_one_in_lists_and_exports(
    acme: Organization, eve: Login
) -> None:
    await eve.me(eve.token(iat=ago(60)))
    await acme.invite("eve", ["support"])
    assert (await accept(acme, eve, "eve", iat=ago(50))).status_code == 200
    married = acme.address("eve.smith")

    me = (await eve.me(eve.token(email=married, iat=ago(40)))).json()

    assert me["email"] == married
    assert await emails(acme) == {acme.administrator.email, married}
    who_can = await acme.administrator.ask(
        "GET",
        f"{acme.path}/audit/who-can",
        headers={"Accept": "text/csv"},
        params={"action": "refunds_create"},
    )
    assert married in who_can.text
    assert acme.address("eve") not in who_can.text
    found = await acme.deployment.events(Event.PLATFORM)
    changed = [each for each in found if each.kind == "user_profile_changed"][-1]
    assert (changed.subject, changed.details["changed"]) == (f"user:{me['id']}", ["email"])


async def test_the_next_owner_of_an_address_is_invited_and_gets_nothing_of_the_old_one(
    acme: Organization, eve: Login
) -> None:
    old = (await eve.me(eve.token(iat=ago(60)))).json()["id"]
    await acme.invite("eve", ["support"])
    await accept(acme, eve, "eve", iat=ago(50))
    await eve.me(eve.token(email=acme.address("eve.smith"), iat=ago(40)))
    other = Login(eve.provider, eve.deployment, f"new~{acme.id}")
    given = {"email": acme.address("eve"), "email_verified": True}

    new = (await other.me(other.token(**given))).json()
    assert new["id"] != old
    refused(await other.ask("GET", acme.path, other.token(**given)), 404, "unknown_organization")
    assert (await acme.invite("eve", ["product"])).status_code == 201
    stale = await accept(acme, eve, "eve", iat=ago(50))  # a token from when the address was hers
    refused(stale, 403, "accepts_for_somebody_else")
    assert (await accept(acme, other, "eve", **given)).status_code == 200

    roles = await acme.roles_by_member()
    assert (roles[old], roles[new["id"]]) == (["support"], ["product"])


async def test_an_invitation_is_accepted_by_the_address_of_the_token_not_by_the_stored_one(
    acme: Organization, eve: Login
) -> None:
    await eve.me(eve.token(iat=ago(60)))
    await acme.invite("eve", ["support"])
    without = await accept(acme, eve, "eve", email=..., email_verified=..., iat=ago(50))
    refused(without, 403, "accepts_for_somebody_else")
    elsewhere = await accept(acme, eve, "eve", email=acme.address("eve.smith"), iat=ago(40))
    refused(elsewhere, 403, "accepts_for_somebody_else")
    assert len(await acme.roles_by_member()) == 1


async def test_an_older_token_does_not_bring_the_old_address_back(
    acme: Organization, eve: Login
) -> None:
    older = eve.token(iat=ago(60), name="Eve")
    newer = eve.token(iat=ago(30), email=acme.address("eve.smith"), name="Eve Smith")
    for token, address, name in (
        (older, "eve", "Eve"),
        (newer, "eve.smith", "Eve Smith"),
        (older, "eve.smith", "Eve Smith"),
        (newer, "eve.smith", "Eve Smith"),
    ):
        me = (await eve.me(token)).json()
        assert (me["email"], me["name"]) == (acme.address(address), name)


async def test_of_two_users_who_take_one_address_at_once_one_gets_a_clear_refusal(
    acme: Organization, eve: Login
) -> None:
    one, two = (Login(eve.provider, eve.deployment, f"{name}-{acme.id}") for name in ("one", "two"))
    shared = {"email": acme.address("eve"), "email_verified": True}
    for login in (one, two):
        await login.me(login.token(iat=ago(60)))

    await asyncio.gather(
        *(login.me(login.token(iat=ago(30), **shared)) for login in (one, two) for _ in range(5))
    )

    answers = [await login.me(login.token(iat=ago(20), **shared)) for login in (one, two)]
    winner, loser = sorted(answers, key=lambda answer: answer.status_code)
    assert winner.json()["email"] == shared["email"]
    refused(loser, 409, "address_has_another_login")


async def test_another_login_with_the_same_address_is_refused_until_an_operator_links_it(
    acme: Organization, eve: Login, login_commands: Run
) -> None:
    id = (await eve.me(eve.token(iat=ago(60)))).json()["id"]
    await acme.invite("eve", ["support"])
    ours = (await accept(acme, eve, "eve", iat=ago(50))).json()["access_token"]
    company = Login(eve.provider, eve.deployment, f"entra|{acme.id}'; rm -rf /")
    same = {"email": acme.address("eve"), "email_verified": True}

    answer = await company.me(company.token(**same))
    problem = refused(answer, 409, "address_has_another_login")
    quoted = f"'entra|{acme.id}'\"'\"'; rm -rf /'"  # an operator may paste it into a shell
    assert f"operator link-login {same['email']}" in problem["detail"]
    assert f"--subject {quoted} --reason TEXT" in problem["detail"]
    words = ("operator", "link-login", same["email"], "--subject", company.name)
    linked = await login_commands(*words, "--reason", "We moved to Entra ID")
    assert linked.exit_code == 0, linked.stderr
    assert f"{same['email']} ({id}) signs in as" in linked.stdout

    me = (await company.me(company.token(**same))).json()
    assert (me["id"], me["external_id"]) == (id, company.name)
    refused(await eve.me(ours), 401, "invalid_token")
    refused(await eve.me(), 409, "address_has_another_login")  # the replaced login
    [event] = [
        event
        for event in await acme.deployment.events(Event.PLATFORM)
        if event.kind == "login_linked" and event.details.get("replaced")
        if event.subject == f"user:{id}"
    ]
    assert event.actor.startswith("operator:")
    assert event.reason_hash is not None
    again = await login_commands(*words, "--reason", "Twice")
    assert "has this login already" in again.stderr
    assert await faults(acme, id) == []


async def test_a_login_that_is_refused_for_its_address_is_recorded_with_the_cause(
    acme: Organization, eve: Login
) -> None:
    """A new process, because one records the same refusal of unknown people once a minute."""
    await eve.me(eve.token(iat=ago(60)))
    same = {"email": acme.address("eve"), "email_verified": True}
    limits = {"refusals_per_actor": 1_000_000, "refusals_per_chain": 1_000_000}
    async with another_process(acme.deployment, **limits) as new:
        company = Login(eve.provider, new, f"entra-{acme.id}")
        answer = await company.me(company.token(**same))
        refused(answer, 409, "address_has_another_login")
        await wait_until(lambda: is_refusal_recorded(answer, new, "address_has_another_login"))


async def test_an_operator_frees_the_address_of_a_mailbox_with_a_new_owner(
    acme: Organization, eve: Login, login_commands: Run
) -> None:
    old = (await eve.me(eve.token(iat=ago(60)))).json()["id"]
    await acme.invite("eve", ["support"])
    await accept(acme, eve, "eve", iat=ago(50))
    new = Login(eve.provider, eve.deployment, f"new-{acme.id}")
    given = {"email": acme.address("eve"), "email_verified": True}
    refused(await new.me(new.token(**given)), 409, "address_has_another_login")

    words = ("operator", "release-address", given["email"], "--reason")
    assert (await login_commands(*words, "Eve left in March")).exit_code == 0

    me = (await new.me(new.token(**given))).json()
    assert me["id"] != old
    assert (await acme.roles_by_member())[old] == ["support"]
    assert "address_released" in await kinds_about(acme.deployment, old)
    assert (
        "has no address"
        in (await login_commands("operator", "release-address", old, "--reason", "Twice")).stderr
    )
    assert await faults(acme, old, me["id"]) == []


async def test_a_login_without_access_finds_the_user_of_an_invitation_once_it_is_verified(
    acme: Organization, eve: Login
) -> None:
    """Before the fix, Eve became a second user when she signed out and accepted, as she was advised."""
    alone = (await eve.me(eve.token(email_verified=False, iat=ago(60)))).json()
    await acme.invite("eve", ["support"])
    invited = (await acme.accept("eve")).json()["user"]
    assert invited != alone["id"]
    await asyncio.sleep(1.1)  # tokens have whole seconds, and must be newer than the acceptance

    me = (await eve.me()).json()

    assert (me["id"], me["external_id"]) == (invited, eve.name)
    members = await eve.ask("GET", f"{acme.path}/members")
    assert members.status_code == 200
    kinds = await kinds_about(acme.deployment, alone["id"])
    assert kinds == ["login_linked", "login_moved"]
    assert await faults(acme, alone["id"], invited) == []


async def test_a_login_whose_user_has_access_is_not_moved(
    acme: Organization, eve: Login, login_commands: Run
) -> None:
    globex = await acme.deployment.create_organization("globex")
    (await globex.invite("eve", ["support"])).raise_for_status()
    there = {"email": globex.address("eve")}
    secret = acme.deployment.invitation_token(globex.address("eve"))
    token = eve.token(iat=ago(60), **there)
    joined = await eve.ask("POST", "/v1/invitations/accept", token, json={"token": secret})
    assert joined.status_code == 200
    await acme.invite("eve", ["support"])
    await acme.accept("eve")

    refused(await eve.me(eve.token(iat=ago(30))), 409, "address_has_another_login")
    assert (await eve.me(eve.token(iat=ago(60), **there))).status_code == 200
    words = ("operator", "link-login", acme.address("eve"), "--subject", eve.name)
    assert "a member or an auditor" in (await login_commands(*words, "--reason", "x")).stderr


async def test_a_name_follows_the_login_and_an_invalid_one_changes_nothing(
    acme: Organization, eve: Login
) -> None:
    names, id = [], None
    for seconds, name in enumerate(
        ["Eve", "Eve Smith", "Eve\u202eSmith", "x" * 101, 7, ..., "", "Zoë"]
    ):
        me = (await eve.me(eve.token(name=name, iat=ago(60 - seconds)))).json()
        names.append(me["name"])
        id = me["id"]
    assert names == ["Eve", *["Eve Smith"] * 6, "Zoë"]
    kinds = await kinds_about(acme.deployment, str(id))
    assert kinds == ["login_linked", "user_profile_changed", "user_profile_changed"]


async def test_claims_that_cannot_be_used_are_recorded_at_the_first_sign_in(
    acme: Organization, eve: Login
) -> None:
    """The address is verified and not an address. The subject is another user's external id."""
    taken = Login(eve.provider, eve.deployment, f"taken-{acme.id}")
    await taken.me()
    await acme.deployment.execute_without_triggers(
        "UPDATE users SET subject = 'other' WHERE external_id = $1", taken.name
    )
    me = (await taken.me(taken.token(email="eve@", email_verified=True, name="a\nb"))).json()
    assert (me["email"], me["name"], me["external_id"]) == (None, None, None)
    events = await acme.deployment.events(Event.PLATFORM)
    [linked] = [event for event in events if event.subject == f"user:{me['id']}"]
    assert linked.details["unusable"] == ["email", "name", "external_id"]


async def test_an_external_id_that_becomes_free_belongs_to_the_login_then(
    acme: Organization, eve: Login, login_commands: Run
) -> None:
    """An earlier issuer had a user with the same subject, who now gets another login."""
    earlier = (await eve.me(eve.token(email=..., iat=ago(90)))).json()["id"]
    await acme.deployment.execute_without_triggers(
        "UPDATE users SET issuer = 'https://earlier.example' WHERE id = $1", earlier
    )
    me = (await eve.me(eve.token(email=..., iat=ago(80)))).json()
    assert (me["id"] != earlier, me["external_id"]) == (True, None)
    still_taken = (await eve.me(eve.token(email=..., iat=ago(60)))).json()
    assert still_taken["external_id"] is None
    other_login = ("operator", "link-login", earlier, "--subject", f"new~{acme.id}")
    assert (await login_commands(*other_login, "--reason", "Case 4711")).exit_code == 0

    me = (await eve.me(eve.token(email=..., iat=ago(30)))).json()

    assert me["external_id"] == eve.name
    assert await kinds_about(acme.deployment, me["id"]) == ["login_linked", "user_profile_changed"]
    found = await acme.deployment.events(Event.PLATFORM)
    assert found[-1].details["changed"] == ["external_id"]
    assert await faults(acme, me["id"]) == []


async def test_a_login_with_the_same_subject_at_another_issuer_keeps_the_external_id(
    acme: Organization, eve: Login, login_commands: Run
) -> None:
    id = (await eve.me(eve.token(iat=ago(60)))).json()["id"]
    await acme.deployment.execute_without_triggers(
        "UPDATE users SET issuer = 'https://earlier.example' WHERE id = $1", id
    )
    same_subject = ("operator", "link-login", id, "--subject", eve.name)
    assert (await login_commands(*same_subject, "--reason", "Another issuer")).exit_code == 0
    await asyncio.sleep(1.1)  # tokens have whole seconds, and must be newer than the link
    me = (await eve.me()).json()
    assert (me["id"], me["external_id"]) == (id, eve.name)


@pytest.mark.parametrize("how", ["import", "grant-administrator", "grant-auditor"])
async def test_a_login_without_access_finds_whom_an_operator_named_by_the_address(
    acme: Organization, eve: Login, login_commands: Run, tmp_path: Path, how: str
) -> None:
    alone = (await eve.me(eve.token(email_verified=False, iat=ago(60)))).json()["id"]
    address = acme.address("eve")
    members = tmp_path / "members.csv"
    members.write_text(f"email,name,role\n{address},,support\n")
    words = {
        "import": ("import", "members", str(members), "--organization", acme.id),
        "grant-administrator": ("operator", "grant-administrator", acme.id, address),
        "grant-auditor": ("operator", "grant-auditor", address),
    }
    reason = () if how == "import" else ("--reason", "Case 4711")
    assert (await login_commands(*words[how], *reason)).exit_code == 0
    await asyncio.sleep(1.1)  # tokens have whole seconds, and must be newer than the user

    me = (await eve.me()).json()

    assert (me["id"] != alone, me["email"], me["external_id"]) == (True, address, eve.name)
    path = f"{acme.path}/audit/matrix" if how == "grant-auditor" else f"{acme.path}/members"
    assert (await eve.ask("GET", path)).status_code == 200


async def test_a_profile_that_did_not_change_is_not_written(
    acme: Organization, eve: Login, owner_connection: Connection
) -> None:
    me = (await eve.me(eve.token(name="Eve", iat=ago(60)))).json()
    version = "SELECT xmin::text FROM users WHERE id = $1"
    before = await owner_connection.fetchval(version, me["id"])
    for claims in ({"name": "Eve"}, {"name": ...}, {"name": "a\nb"}, {"email": ...}):
        await eve.me(eve.token(iat=ago(30), **claims))
    assert await owner_connection.fetchval(version, me["id"]) == before


async def test_a_read_does_not_wait_for_a_change_that_holds_the_users_row(
    acme: Organization, eve: Login
) -> None:
    me = (await eve.me(eve.token(name="Eve", iat=ago(60)))).json()
    renamed = eve.token(name="Eve Smith", iat=ago(30))
    async with acme.deployment.service.sessions() as session:
        lock = text("SELECT FROM users WHERE id = :id FOR KEY SHARE")  # as a new membership does
        await session.execute(lock, {"id": me["id"]})
        began = time.monotonic()
        assert (await eve.me(renamed)).json()["name"] == "Eve"
        assert time.monotonic() - began < 1
    assert (await eve.me(renamed)).json()["name"] == "Eve Smith"


async def test_an_ended_session_changes_no_profile(acme: Organization, eve: Login) -> None:
    me = (await eve.me(eve.token(iat=ago(60)))).json()
    assert (await eve.ask("POST", "/v1/me/sign-out", eve.token(iat=ago(60)))).status_code == 204
    moved = eve.token(iat=ago(30), email=acme.address("eve.smith"))
    refused(await eve.me(moved), 401, "invalid_token")
    async with acme.deployment.service.reads() as session:
        assert (await session.get_one(User, me["id"])).email == acme.address("eve")


async def test_a_user_without_a_name_gets_the_one_that_they_accept_with(
    acme: Organization, eve: Login
) -> None:
    await eve.me(eve.token(iat=ago(60)))
    await acme.invite("eve", ["support"])
    signed_in = {"Authorization": f"Bearer {eve.token(iat=ago(50))}"}
    assert (await acme.accept("eve", headers=signed_in)).status_code == 200
    assert (await eve.me(eve.token(iat=ago(40)))).json()["name"] == "Eve"


async def test_two_spellings_of_an_address_are_one_person(acme: Organization, eve: Login) -> None:
    host = f"{acme.id}.example"
    me = (await eve.me(eve.token(email=f"Ünal@{host}", iat=ago(60)))).json()
    assert me["email"] == f"ünal@{host}"
    other = Login(eve.provider, eve.deployment, f"other-{acme.id}")
    same = other.token(email=f"U\u0308nal@{host}", email_verified=True)
    refused(await other.me(same), 409, "address_has_another_login")


async def is_refusal_recorded(answer: httpx.Response, deployment: Deployment, cause: str) -> bool:
    """Whether this refused sign-in is recorded with the cause. Recording may wait for the chain."""
    recorded = [
        (event.kind, event.details["cause"])
        for event in await deployment.events(Event.PLATFORM)
        if event.request_id == answer.headers["X-Request-Id"]
    ]
    assert recorded in ([], [("sign_in_refused", cause)])
    return bool(recorded)


async def faults(acme: Organization, *users: str) -> list[str]:
    """What `ledger verify` finds wrong with the logins of these users."""
    async with snapshot(acme.deployment.settings.sqlalchemy_url) as connection:
        found = map(str, (await verify_chains(connection)).findings)
        return [each for each in found if any(f"login:{user}" in each for user in users)]


async def test_a_former_organization_learns_nothing_of_a_later_address(
    acme: Organization, eve: Login
) -> None:
    await eve.me(eve.token(iat=ago(60), name="Eve"))
    await acme.invite("eve", ["support"])
    assert (await accept(acme, eve, "eve", iat=ago(50), name="Eve")).status_code == 200
    id = (await eve.me(eve.token(iat=ago(45), name="Eve"))).json()["id"]
    when = (await acme.deployment.service.now()).isoformat()
    ana, path = acme.administrator, f"{acme.path}/members/{id}"
    assert (await ana.ask("DELETE", path)).status_code == 204
    questions = [
        ("members", {"at": when}),
        ("audit/why", {"user": id, "action": "refunds_create"}),
        ("audit/who-can", {"action": "refunds_create", "at": when}),
        ("audit/what-can", {"user": id}),
    ]
    for asked, query in questions[:3]:
        known = await ana.ask("GET", f"{acme.path}/{asked}", params=query)
        assert acme.address("eve") in known.text, asked

    elsewhere = acme.address("eve.elsewhere")
    await asyncio.sleep(1.1)  # tokens have whole seconds, and this one comes after the removal
    me = await eve.me(eve.token(email=elsewhere, name="Eve Elsewhere"))
    assert me.json()["email"] == elsewhere

    for asked, query in questions:
        answer = await ana.ask("GET", f"{acme.path}/{asked}", params=query)
        assert answer.status_code == 200, answer.text
        assert "lsewhere" not in answer.text, asked
    by_address = await ana.ask("GET", f"{acme.path}/audit/what-can", params={"user": elsewhere})
    assert by_address.status_code == 404


async def test_a_profile_that_changes_all_day_adds_a_limited_number_of_events(
    acme: Organization, eve: Login
) -> None:
    id = (await eve.me(eve.token(iat=ago(300)))).json()["id"]
    for number in range(15):
        token = eve.token(iat=ago(200 - number), name=f"Eve {number}")
        assert (await eve.me(token)).status_code == 200
    changed = [each for each in await kinds_about(acme.deployment, id) if "profile" in each]
    assert len(changed) == 10
