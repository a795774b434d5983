"""The same request sent twice with one Idempotency-Key is done once."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from teamaccess.storage import IdempotencyKey
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.responses import refused


async def invite(
    organization: Organization, name: str, key: str | bytes, by: Person | None = None
) -> httpx.Response:
    """Invite a person, with a key."""
    return await (by or organization.administrator).ask(
        "POST",
        f"{organization.path}/invitations",
        json={"email": organization.address(name), "roles": ["support"]},
        headers={"Idempotency-Key": key},
    )


async def invitations(organization: Organization) -> list[dict[str, Any]]:
    """All of them."""
    listed = await organization.administrator.ask("GET", f"{organization.path}/invitations")
    items: list[dict[str, Any]] = listed.json()["items"]
    return items


async def test_a_repeated_request_gets_the_first_answer_and_changes_nothing(
    acme: Organization,
) -> None:
    first = await invite(acme, "bob", "k1")
    second = await invite(acme, "bob", "k1")

    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json() == first.json()
    assert first.json()["delivery"] == "file"
    assert second.headers["Teamaccess-Change"] == first.headers["Teamaccess-Change"]
    assert second.headers["Zed-Token"] == first.headers["Zed-Token"]
    assert len(await invitations(acme)) == 1
    assert len(acme.deployment.mails_to(acme.address("bob"))) == 1


async def test_twenty_concurrent_requests_with_one_key_count_once(acme: Organization) -> None:
    answers = await asyncio.gather(*(invite(acme, "bob", "k1") for _ in range(20)))

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(acme.deployment.mails_to(acme.address("bob"))) == 1


async def test_a_different_request_with_the_same_key_is_refused(
    acme: Organization, globex: Organization
) -> None:
    await invite(acme, "bob", "k1")
    refused(await invite(acme, "eve", "k1"), 409, "idempotency_key_reused")
    leave = await acme.administrator.ask(
        "POST", f"{acme.path}/leave", headers={"Idempotency-Key": "k1"}
    )
    refused(leave, 409, "idempotency_key_reused")
    assert len(await invitations(acme)) == 1


async def test_a_key_belongs_to_its_caller(acme: Organization) -> None:
    ada = (await acme.add_members({"ada": ["administrator"]}))["ada"]
    assert (await invite(acme, "bob", "k1")).status_code == 201
    assert (await invite(acme, "eve", "k1", by=ada)).status_code == 201
    refused(await invite(acme, "bob", "k2", by=ada), 409, "already_invited")


async def test_a_refused_request_may_be_tried_again_with_the_key(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    path = f"{acme.path}/members/{bob.id}/reactivate"
    key = {"Idempotency-Key": "k1"}
    refused(await acme.administrator.ask("POST", path, headers=key), 409, "not_suspended")
    await acme.suspend(bob)
    for _ in range(2):
        assert (await acme.administrator.ask("POST", path, headers=key)).status_code == 204
    assert await acme.can(bob, "refunds_create")


async def test_answers_without_a_body_are_repeated_too(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    path = f"{acme.path}/members/{bob.id}/suspend"
    answers = [
        await acme.administrator.ask("POST", path, headers={"Idempotency-Key": "k1"})
        for _ in range(2)
    ]
    assert [each.status_code for each in answers] == [204, 204]
    assert len({each.headers["Teamaccess-Change"] for each in answers}) == 1
    refused(await acme.administrator.ask("POST", path), 409, "already_suspended")


async def test_a_former_member_does_not_get_the_old_answer(acme: Organization) -> None:
    ada = (await acme.add_members({"ada": ["administrator"]}))["ada"]
    assert (await invite(acme, "bob", "k1", by=ada)).status_code == 201

    await acme.suspend(ada)
    refused(await invite(acme, "bob", "k1", by=ada), 404, "unknown_organization")
    await acme.remove(ada)
    ada.token = await acme.deployment.token(ada.id)
    refused(await invite(acme, "bob", "k1", by=ada), 404, "unknown_organization")


async def test_a_key_is_forgotten_after_a_day(acme: Organization) -> None:
    first = await invite(acme, "bob", "k1")
    await acme.administrator.ask("DELETE", f"{acme.path}/invitations/{first.json()['id']}")
    async with acme.deployment.service.sessions.begin() as session:
        await session.execute(
            update(IdempotencyKey)
            .where(IdempotencyKey.actor == f"user:{acme.administrator.id}")
            .values(created_at=IdempotencyKey.created_at - timedelta(days=1, seconds=1))
        )
    second = await invite(acme, "bob", "k1")
    assert second.status_code == 201
    assert second.json()["id"] != first.json()["id"]


@pytest.mark.parametrize("key", ["", "x" * 256, "ü", "a\tb", "\x7f"])
async def test_a_key_is_printable_ascii_and_not_too_long(acme: Organization, key: str) -> None:
    answer = await invite(acme, "bob", key.encode())
    refused(answer, 400, "invalid_idempotency_key")
    assert await invitations(acme) == []


async def test_creating_an_organization_is_idempotent_too(initech: Organization) -> None:
    body = {"id": f"{initech.id}-b", "name": "B"}
    answers = [
        await initech.administrator.ask(
            "POST", "/v1/organizations", json=body, headers={"Idempotency-Key": "k1"}
        )
        for _ in range(2)
    ]
    assert [each.status_code for each in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    again = await initech.administrator.ask("POST", "/v1/organizations", json=body)
    refused(again, 409, "organization_exists")
