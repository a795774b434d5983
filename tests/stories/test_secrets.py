"""The secret of an invitation is only in its mail. Stored data contains no addresses either."""

import json

import pytest
from sqlalchemy import text

from teamaccess.common.configuration.secret import hash_of
from teamaccess.storage import Base
from tests.support.organization import Organization
from tests.support.people import Person

NAME = "Bob of the Long Memory"


async def all_rows(organization: Organization) -> dict[str, str]:
    """Every row of every table that the application can read, as text."""
    kept = {}
    async with organization.deployment.service.reads() as session:
        for table in Base.metadata.tables:
            if table != "ledger_notes":
                rows = await session.execute(text(f'SELECT t::text FROM "{table}" t'))
                kept[table] = "\n".join(rows.scalars())
    return kept


async def all_answers(organization: Organization, by: Person) -> str:
    """Every list and every item that the API shows an administrator."""
    reported = []
    for path in ("", "/members", "/invitations", "/permissions", "/changes/1", f"/members/{by.id}"):
        answer = await by.ask("GET", organization.path + path)
        assert answer.status_code == 200
        reported.append(answer.text + json.dumps(dict(answer.headers)))
    return "\n".join(reported)


async def test_the_secret_of_an_invitation_is_only_in_its_mail(
    acme: Organization, capfd: pytest.CaptureFixture[str]
) -> None:
    key = {"Idempotency-Key": f"invite bob {acme.id}"}
    body = {"email": acme.address("bob"), "roles": ["support"]}
    path = f"{acme.path}/invitations"
    invited = await acme.administrator.ask("POST", path, json=body, headers=key)
    secret = acme.deployment.invitation_token(acme.address("bob"))
    again = await acme.administrator.ask("POST", path, json=body, headers=key)

    assert secret not in invited.text + again.text + str(invited.headers)
    kept = await all_rows(acme)
    assert kept["idempotency_keys"]
    assert all(secret not in rows for rows in kept.values())
    assert hash_of(secret).hex() in kept["invitations"]
    assert secret not in await all_answers(acme, acme.administrator)

    accepted = await acme.accept("bob", headers={"Idempotency-Key": f"accept {acme.id}"})
    await acme.accept("bob")
    token = accepted.json()["access_token"]
    kept = await all_rows(acme)
    for each in (secret, token, token.rpartition(".")[2]):
        assert all(each not in rows for rows in kept.values())
        assert each not in await all_answers(acme, acme.administrator)
    logged = capfd.readouterr()
    assert secret not in logged.out + logged.err
    assert token not in logged.out + logged.err


async def test_events_and_the_ledger_hold_ids_and_neither_addresses_nor_free_text(
    acme: Organization,
) -> None:
    before = {table: set(rows.split("\n")) for table, rows in (await all_rows(acme)).items()}
    await acme.add_members({"max": ["support"]})
    await acme.invite("bob", ["support"])
    accepted = await acme.deployment.http.post(
        "/v1/invitations/accept",
        json={"token": acme.deployment.invitation_token(acme.address("bob")), "name": NAME},
    )
    bob = Person(acme.deployment, accepted.json()["user"], "", accepted.json()["access_token"])
    await acme.change_roles(bob, "developer")
    reason = "because Bob writes to eve@example.org"
    await acme.administrator.ask(
        "PUT",
        f"{acme.path}/members/{bob.id}/roles",
        json={"roles": [{"role": "product"}], "reason": reason},
    )
    await acme.administrator.ask("PATCH", acme.path, json={"name": "Eve's bob@example.org"})
    await acme.invite("bob", ["support"])
    await acme.suspend(bob)
    await bob.ask("GET", acme.path)
    await bob.ask("GET", "/v1/organizations/eve@example.org")
    await bob.ask("POST", "/v1/organizations/eve@example.org/leave")
    await acme.remove(bob)

    kept = await all_rows(acme)

    assert reason in kept["reasons"]
    for table in ("events", "ledger", "ledger_applications", "activity"):
        new = [row for row in kept[table].split("\n") if row not in before[table]]
        for free in ("@example.org", ".example", "Memory", "Eve's"):
            assert not any(free in row for row in new), table


async def test_responses_are_not_cached_send_no_referrer_and_have_a_request_id(
    acme: Organization,
) -> None:
    for path in (acme.path, "/v1/nothing", "/healthz", "/invitations/accept?token=x"):
        answer = await acme.administrator.ask("GET", path)
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert len(answer.headers["X-Request-Id"]) == 24


async def test_opening_an_invitations_link_accepts_nothing(acme: Organization) -> None:
    await acme.invite("bob", ["support"])
    secret = acme.deployment.invitation_token(acme.address("bob"))

    page = await acme.deployment.http.get("/invitations/accept", params={"token": secret})

    assert page.status_code == 200
    assert secret not in page.text
    listed = (await acme.administrator.ask("GET", f"{acme.path}/invitations")).json()["items"]
    assert listed[0]["status"] == "pending"
