"""`teamaccess operator link-login` and `release-address`."""

import json

import pytest

from teamaccess.storage import Event, User
from tests.support.command_line import Run
from tests.support.organization import Organization

ISSUER = ("--issuer", "https://login.example")
REASON = ("--reason", "The company moved")


async def row(acme: Organization, id: str) -> User:
    """The row of a user."""
    async with acme.deployment.service.reads() as session:
        return await session.get_one(User, id)


async def test_a_user_without_a_login_gets_one(run: Run, acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    assert (await bob.ask("GET", "/v1/me")).status_code == 200
    words = ("operator", "link-login", bob.email.upper(), "--subject", f"bob-{acme.id}")

    linked = await run(*words, *ISSUER, *REASON, "--json")

    assert json.loads(linked.stdout) == {
        "user": bob.id,
        "email": bob.email,
        "issuer": "https://login.example",
        "subject": f"bob-{acme.id}",
    }
    user = await row(acme, bob.id)
    assert (user.issuer, user.subject) == ("https://login.example", f"bob-{acme.id}")
    assert user.external_id == f"bob-{acme.id}"
    assert (await bob.ask("GET", "/v1/me")).status_code == 401  # an earlier session
    events = await acme.deployment.events(Event.PLATFORM)
    [event] = [event for event in events if event.subject == f"user:{bob.id}"]
    assert event.kind == "login_linked"
    assert "replaced" not in event.details


async def test_an_external_id_of_the_products_own_stays(run: Run, acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    set_id = "UPDATE users SET external_id = $1 WHERE id = $2"
    await acme.deployment.execute_without_triggers(set_id, f"own-{acme.id}", bob.id)
    words = ("operator", "link-login", bob.id, "--subject", f"bob-{acme.id}")
    assert (await run(*words, *ISSUER, *REASON)).exit_code == 0
    assert (await row(acme, bob.id)).external_id == f"own-{acme.id}"


@pytest.mark.parametrize("subject", ["", "a\nb", "x" * 256])
async def test_an_impossible_subject_is_refused(run: Run, acme: Organization, subject: str) -> None:
    ana = acme.administrator
    words = ("operator", "link-login", ana.id, "--subject", subject)
    refused = await run(*words, *ISSUER, *REASON)
    assert refused.exit_code == 2
    assert "1 to 255 printable characters" in refused.stderr
    assert (await row(acme, ana.id)).issuer is None


async def test_a_login_needs_a_person_and_an_issuer(run: Run, acme: Organization) -> None:
    job = await acme.create_service_account("support")
    words = ("operator", "link-login", job.id, "--subject", f"job-{acme.id}")
    assert f"There is no user {job.id}" in (await run(*words, *ISSUER, *REASON)).stderr
    words = ("operator", "link-login", acme.administrator.id, "--subject", f"ana-{acme.id}")
    assert "TEAMACCESS_OIDC_ISSUER is not set" in (await run(*words, *REASON)).stderr


async def test_a_released_address_is_free_for_an_invitation(run: Run, acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    assert (await acme.invite("bob", ["product"])).status_code == 409

    released = await run("operator", "release-address", bob.email, *REASON)

    assert released.stdout == f"{bob.id} has no address any more. Another person can use it now.\n"
    assert (await acme.invite("bob", ["product"])).status_code == 201
    new = (await acme.accept("bob")).json()["user"]
    roles = await acme.roles_by_member()
    assert (roles[bob.id], roles[new]) == (["support"], ["product"])


@pytest.mark.parametrize("issuer", ["https://login.example/", "https://other.example"])
async def test_an_issuer_whose_tokens_are_not_accepted_is_refused(
    run: Run, acme: Organization, monkeypatch: pytest.MonkeyPatch, issuer: str
) -> None:
    monkeypatch.setenv("TEAMACCESS_OIDC_ISSUER", "https://login.example")
    monkeypatch.setenv("TEAMACCESS_OIDC_AUDIENCE", "api")
    ana = acme.administrator
    words = ("operator", "link-login", ana.id, "--subject", f"ana-{acme.id}")

    refused = await run(*words, "--issuer", issuer, *REASON, "--json")

    assert (refused.exit_code, json.loads(refused.stderr)["code"]) == (2, "other_issuer")
    assert (await row(acme, ana.id)).issuer is None
    assert (await ana.ask("GET", "/v1/me")).status_code == 200  # the session did not end


@pytest.mark.parametrize(
    "words",
    [
        ("operator", "link-login", "USER", "--subject", "new-SUBJECT", *ISSUER, *REASON),
        ("operator", "release-address", "USER", *REASON),
        ("operator", "revoke-auditor", "USER", *REASON),
        ("token", "issue", "USER"),
    ],
    ids=lambda words: words[1],
)
@pytest.mark.parametrize("form", ["staff-{id}", "external:staff-{id}", "external:{id}@idp.example"])
async def test_a_command_finds_a_person_by_external_id(
    run: Run, acme: Organization, words: tuple[str, ...], form: str
) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    external_id = form.format(id=acme.id)
    await acme.set_external_id(bob, external_id.removeprefix("external:"))
    if "revoke-auditor" in words:
        await run("operator", "grant-auditor", bob.email, *REASON)
    named = [word.replace("USER", external_id).replace("SUBJECT", acme.id) for word in words]

    done = await run(*named, "--json")

    assert done.exit_code == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts.get("user", facts.get("subject")) == bob.id


async def test_a_command_never_takes_the_external_id_of_one_person_for_another(
    run: Run, acme: Organization
) -> None:
    """A login chooses its own external id."""
    mallory, bob = (await acme.add_members({"mallory": [], "bob": []})).values()
    for name in (bob.id, bob.email):
        await acme.set_external_id(mallory, name)
        done = await run("token", "issue", name, "--json")
        assert json.loads(done.stdout)["subject"] == bob.id
    await run("operator", "release-address", bob.email, *REASON)
    gone = await run("token", "issue", bob.email, "--json")
    assert json.loads(gone.stderr)["code"] == "unknown_user"


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 1000, "external:"])
async def test_a_text_that_cannot_name_a_user_is_refused(run: Run, name: str) -> None:
    refused = await run("operator", "release-address", name, *REASON, "--json")
    assert refused.exit_code == 2
    assert json.loads(refused.stderr)["code"] == "unknown_user"
