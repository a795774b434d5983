"""While SpiceDB is down, slow or silent, nothing is allowed, and no committed change is lost."""

import asyncio
import secrets
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from grpc import StatusCode

from teamaccess.directory.members.administrators import grant_administrator
from tests.support.agreement import applied_positions, assert_agreement, spicedb_relationships
from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.spicedb_proxy import (
    WRITE,
    Writes,
    behind_proxy,
    running_worker,
    served_by,
    wait_until,
)


async def _status(organization: Organization, position: str) -> str:
    answer = await organization.administrator.ask("GET", f"{organization.path}/changes/{position}")
    return str(answer.raise_for_status().json()["status"])


async def test_a_change_that_does_not_arrive_is_accepted_and_arrives_with_the_next(
    acme: Organization, fintoc: Deployment
) -> None:
    bob = await acme.member("bob", roles=["product"])
    async with behind_proxy(fintoc) as (second, proxy):
        organization = served_by(second, acme)
        proxy.writes = Writes.FAIL
        late = await organization.change_roles(bob, "support")
        assert late.status_code == 202, late.text
        position = str(len(await acme.ledger()))
        assert late.headers["Location"] == f"{acme.path}/changes/{position}"
        assert late.headers["Teamaccess-Change"] == f"{acme.id}:{position}"
        assert "Zed-Token" not in late.headers
        assert await _status(organization, position) == "pending"
        assert await acme.can(bob, "webhooks_send_test")

        busy = await organization.change_roles(bob, "developer")
        assert (busy.status_code, busy.json()["code"]) == (503, "organization_busy")
        assert "Retry-After" in busy.headers
        assert len(await acme.ledger()) == int(position)

        proxy.writes = Writes.ARRIVE
        changed = await organization.change_roles(bob, "developer")
        assert changed.status_code == 200
        assert await _status(organization, position) == "applied"
    assert int(position) in await applied_positions(acme)
    assert await acme.can(bob, "webhooks_create", at=changed.headers["Zed-Token"])
    await assert_agreement(acme)


async def test_a_committed_change_is_accepted_even_if_no_worker_can_be_notified(
    acme: Organization, fintoc: Deployment
) -> None:
    bob = await acme.member("bob", roles=["product"])
    async with behind_proxy(fintoc) as (second, proxy), AsyncExitStack() as held:
        proxy.writes = Writes.FAIL
        pool = second.service.applier._status_pool
        for _ in range(8):  # all connections of the pool
            await held.enter_async_context(pool.connect())
        async with asyncio.timeout(6):
            late = await served_by(second, acme).change_roles(bob, "support")
        assert late.status_code == 202, late.text
        proxy.writes = Writes.ARRIVE
    await acme.change_roles(bob, "support")
    await assert_agreement(acme)


async def test_the_creator_of_an_organization_can_follow_its_change_before_being_a_member(
    initech: Organization, finicom: Deployment
) -> None:
    async with behind_proxy(finicom) as (second, proxy):
        ana = served_by(second, initech).administrator
        proxy.writes = Writes.FAIL
        about = {"id": f"branch-{secrets.token_hex(4)}", "name": "Branch"}
        late = await ana.ask("POST", "/v1/organizations", json=about)
        assert late.status_code == 202
        reported = await ana.ask("GET", late.headers["Location"])
        assert (reported.status_code, reported.json()["status"]) == (200, "pending")
        bob = await initech.member("bob", roles=["admin"])
        assert (await bob.ask("GET", late.headers["Location"])).status_code == 404


async def test_a_write_whose_answer_got_lost_is_sent_again_and_its_marker_confirms_it(
    acme: Organization, fintoc: Deployment
) -> None:
    bob = await acme.member("bob", roles=["product"])
    async with behind_proxy(fintoc) as (second, proxy):
        proxy.writes = Writes.LOSE_ANSWERS
        suspended = await served_by(second, acme).suspend(bob)
        assert suspended.status_code == 204
        assert proxy.seen.count(WRITE) == 2
        assert not await acme.can(bob, "webhooks_send_test", at=suspended.headers["Zed-Token"])
    await assert_agreement(acme)


async def test_a_write_that_arrives_after_it_was_given_up_changes_nothing(
    acme: Organization, fintoc: Deployment
) -> None:
    bob = await acme.member("bob", roles=["product"])
    async with behind_proxy(fintoc) as (second, proxy):
        proxy.writes = Writes.DELAY
        given_up = await served_by(second, acme).change_roles(bob, "support")
        assert given_up.status_code == 202
        await acme.change_roles(bob, "developer")
        before = await spicedb_relationships(acme)
        assert set(await proxy.deliver_delayed()) == {StatusCode.ALREADY_EXISTS}
        assert await spicedb_relationships(acme) == before
        proxy.writes = Writes.ARRIVE
    assert await acme.can(bob, "webhooks_create")
    assert not await acme.can(bob, "refunds_create")
    await assert_agreement(acme)


async def test_a_worker_delivers_what_a_request_left_pending(
    acme: Organization, fintoc: Deployment
) -> None:
    bob = await acme.member("bob", roles=["product"])
    async with behind_proxy(fintoc) as (second, proxy), running_worker(second):
        proxy.writes = Writes.FAIL
        late = await served_by(second, acme).remove(bob)
        assert late.status_code == 202
        tried = proxy.seen.count(WRITE)
        await wait_until(lambda: _tried_again(proxy.seen, tried))
        assert await acme.can(bob, "webhooks_send_test")
        proxy.writes = Writes.ARRIVE
        await wait_until(lambda: _cannot(bob, acme, "webhooks_send_test"))
    await assert_agreement(acme)


async def test_without_spicedb_every_question_is_refused_and_nothing_changes(
    acme: Organization, fintoc: Deployment
) -> None:
    bob = await acme.member("bob", roles=["product"])
    before = await acme.ledger()
    async with behind_proxy(fintoc) as (second, proxy):
        organization = served_by(second, acme)
        await proxy.stop()
        await _refused(
            organization,
            *_reads(organization.administrator),
            *_changes(organization.administrator, bob),
        )
        assert await acme.ledger() == before
        await proxy.start()
        await wait_until(lambda: _allowed(organization))
    await assert_agreement(acme)


async def test_a_spicedb_that_never_answers_is_refused_within_a_time_limit(
    acme: Organization, fintoc: Deployment
) -> None:
    bob = await acme.member("bob", roles=["product"])
    async with behind_proxy(fintoc) as (second, proxy):
        organization = served_by(second, acme)
        proxy.answers = False
        async with asyncio.timeout(10):
            await _refused(
                organization,
                *_reads(organization.administrator),
                *_changes(organization.administrator, bob)[:2],
            )
        proxy.answers = True
        assert await _allowed(organization)
    await assert_agreement(acme)


async def test_an_operators_change_waits_until_spicedb_is_back(
    acme: Organization, fintoc: Deployment
) -> None:
    async with behind_proxy(fintoc) as (second, proxy), running_worker(second):
        async with second.operator(acme.id) as change:
            await grant_administrator(change, acme.id, acme.address("eve"), "ana is on leave")
            await change.prove()
            await proxy.stop()
        assert len(await applied_positions(acme)) == len(await acme.ledger()) - 1
        await proxy.start()
        await wait_until(lambda: _all_there(acme))
    await assert_agreement(acme)


Question = tuple[Person, str, str, Any]


def _reads(ana: Person) -> list[Question]:
    parts = ("", "/permissions", "/members", "/invitations", "/changes/1")
    return [(ana, "GET", part, None) for part in parts]


def _changes(ana: Person, bob: Person) -> list[Question]:
    return [
        (ana, "POST", f"/members/{bob.id}/suspend", None),
        (ana, "PATCH", "", {"name": "Other"}),
        (ana, "PUT", f"/members/{bob.id}/roles", {"roles": []}),
        (ana, "POST", "/invitations", {"email": "eve@example.com", "roles": ["product"]}),
        (ana, "DELETE", f"/members/{bob.id}", None),
        (bob, "POST", "/leave", None),
        (ana, "DELETE", "", None),
    ]


async def _refused(organization: Organization, *questions: Question) -> None:
    asked = [
        replace(who, deployment=organization.deployment).ask(
            method, f"{organization.path}{path}", json=body
        )
        for who, method, path, body in questions
    ]
    mine = organization.administrator.ask("GET", "/v1/organizations")
    for answer in await asyncio.gather(*asked, mine):
        assert answer.status_code == 503, answer.request.url
        assert answer.json()["code"] in ("engine_unavailable", "organization_busy")
        assert "Retry-After" in answer.headers


async def _tried_again(seen: list[str], before: int) -> bool:
    return seen.count(WRITE) > before


async def _cannot(person: Person, organization: Organization, permission: str) -> bool:
    return not await organization.can(person, permission)


async def _allowed(organization: Organization) -> bool:
    answer = await organization.administrator.ask("GET", f"{organization.path}/permissions")
    return answer.status_code == 200


async def _all_there(organization: Organization) -> bool:
    return len(await applied_positions(organization)) == len(await organization.ledger())
