"""SpiceDB away, slow or deaf: nothing is allowed meanwhile, and nothing decided is lost."""

import asyncio
import secrets
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from grpc import StatusCode

from teamaccess.directory.members.administrators import grant_administrator
from tests.support.sides import agreed, graph, markers
from tests.support.spicedb_proxy import WRITE, Writes, linked, through, until, working
from tests.support.world import Person, Team, World


async def _status(team: Team, position: str) -> str:
    answer = await team.administrator.ask("GET", f"{team.path}/changes/{position}")
    return str(answer.raise_for_status().json()["status"])


async def test_a_change_that_does_not_arrive_is_accepted_and_arrives_with_the_next(
    acme: Team, fintoc: World
) -> None:
    bob = await acme.member("bob", roles=["product"])
    async with linked(fintoc) as (second, link):
        team = through(second, acme)
        link.writes = Writes.FAIL
        late = await team.change_roles(bob, "support")
        assert late.status_code == 202, late.text
        position = str(len(await acme.ledger()))
        assert late.headers["Location"] == f"{acme.path}/changes/{position}"
        assert late.headers["Teamaccess-Change"] == f"{acme.id}:{position}"
        assert "Zed-Token" not in late.headers
        assert await _status(team, position) == "pending"
        assert await acme.can(bob, "webhooks_send_test")

        busy = await team.change_roles(bob, "developer")
        assert (busy.status_code, busy.json()["code"]) == (503, "organization_busy")
        assert "Retry-After" in busy.headers
        assert len(await acme.ledger()) == int(position)

        link.writes = Writes.ARRIVE
        changed = await team.change_roles(bob, "developer")
        assert changed.status_code == 200
        assert await _status(team, position) == "applied"
    assert int(position) in await markers(acme)
    assert await acme.can(bob, "webhooks_create", at=changed.headers["Zed-Token"])
    await agreed(acme)


async def test_a_committed_change_that_no_worker_can_be_told_of_is_accepted_all_the_same(
    acme: Team, fintoc: World
) -> None:
    bob = await acme.member("bob", roles=["product"])
    async with linked(fintoc) as (second, link), AsyncExitStack() as marks:
        link.writes = Writes.FAIL
        pool = second.service.applier._status_pool
        for _ in range(8):  # all that there are
            await marks.enter_async_context(pool.connect())
        async with asyncio.timeout(6):
            late = await through(second, acme).change_roles(bob, "support")
        assert late.status_code == 202, late.text
        link.writes = Writes.ARRIVE
    await acme.change_roles(bob, "support")
    await agreed(acme)


async def test_who_founds_an_organization_can_follow_it_before_they_are_a_member(
    initech: Team, finicom: World
) -> None:
    async with linked(finicom) as (second, link):
        ana = through(second, initech).administrator
        link.writes = Writes.FAIL
        about = {"id": f"branch-{secrets.token_hex(4)}", "name": "Branch"}
        late = await ana.ask("POST", "/v1/organizations", json=about)
        assert late.status_code == 202
        told = await ana.ask("GET", late.headers["Location"])
        assert (told.status_code, told.json()["status"]) == (200, "pending")
        bob = await initech.member("bob", roles=["admin"])
        assert (await bob.ask("GET", late.headers["Location"])).status_code == 404


async def test_a_write_whose_answer_got_lost_is_sent_again_and_its_marker_confirms_it(
    acme: Team, fintoc: World
) -> None:
    bob = await acme.member("bob", roles=["product"])
    async with linked(fintoc) as (second, link):
        link.writes = Writes.LOSE_ANSWERS
        suspended = await through(second, acme).act("suspend", bob)
        assert suspended.status_code == 204
        assert link.seen.count(WRITE) == 2
        assert not await acme.can(bob, "webhooks_send_test", at=suspended.headers["Zed-Token"])
    await agreed(acme)


async def test_a_write_that_arrives_after_everybody_gave_it_up_changes_nothing(
    acme: Team, fintoc: World
) -> None:
    bob = await acme.member("bob", roles=["product"])
    async with linked(fintoc) as (second, link):
        link.writes = Writes.LINGER
        given_up = await through(second, acme).change_roles(bob, "support")
        assert given_up.status_code == 202
        await acme.change_roles(bob, "developer")
        before = await graph(acme)
        assert set(await link.arrive()) == {StatusCode.ALREADY_EXISTS}
        assert await graph(acme) == before
        link.writes = Writes.ARRIVE
    assert await acme.can(bob, "webhooks_create")
    assert not await acme.can(bob, "refunds_create")
    await agreed(acme)


async def test_a_worker_brings_in_what_a_request_left_behind(acme: Team, fintoc: World) -> None:
    bob = await acme.member("bob", roles=["product"])
    async with linked(fintoc) as (second, link), working(second):
        link.writes = Writes.FAIL
        late = await through(second, acme).act("remove", bob)
        assert late.status_code == 202
        tried = link.seen.count(WRITE)
        await until(lambda: _tried_again(link.seen, tried))
        assert await acme.can(bob, "webhooks_send_test")
        link.writes = Writes.ARRIVE
        await until(lambda: _cannot(bob, acme, "webhooks_send_test"))
    await agreed(acme)


async def test_without_the_engine_every_question_is_refused_and_nothing_changes(
    acme: Team, fintoc: World
) -> None:
    bob = await acme.member("bob", roles=["product"])
    before = await acme.ledger()
    async with linked(fintoc) as (second, link):
        team = through(second, acme)
        await link.down()
        await _refused(team, *_reads(team.administrator), *_changes(team.administrator, bob))
        assert await acme.ledger() == before
        await link.up()
        await until(lambda: _allowed(team))
    await agreed(acme)


async def test_an_engine_that_never_answers_is_no_better_and_nobody_waits_for_long(
    acme: Team, fintoc: World
) -> None:
    bob = await acme.member("bob", roles=["product"])
    async with linked(fintoc) as (second, link):
        team = through(second, acme)
        link.answers = False
        async with asyncio.timeout(10):
            await _refused(
                team, *_reads(team.administrator), *_changes(team.administrator, bob)[:2]
            )
        link.answers = True
        assert await _allowed(team)
    await agreed(acme)


async def test_an_operator_s_change_waits_for_the_engine_to_come_back(
    acme: Team, fintoc: World
) -> None:
    async with linked(fintoc) as (second, link), working(second):
        async with second.operator(acme.id) as change:
            await grant_administrator(change, acme.id, acme.address("eve"), "ana is on leave")
            await change.prove()
            await link.down()
        assert len(await markers(acme)) == len(await acme.ledger()) - 1
        await link.up()
        await until(lambda: _all_there(acme))
    await agreed(acme)


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


async def _refused(team: Team, *questions: Question) -> None:
    asked = [
        replace(who, world=team.world).ask(method, f"{team.path}{path}", json=body)
        for who, method, path, body in questions
    ]
    mine = team.administrator.ask("GET", "/v1/organizations")
    for answer in await asyncio.gather(*asked, mine):
        assert answer.status_code == 503, answer.request.url
        assert answer.json()["code"] in ("engine_unavailable", "organization_busy")
        assert "Retry-After" in answer.headers


async def _tried_again(seen: list[str], before: int) -> bool:
    return seen.count(WRITE) > before


async def _cannot(person: Person, team: Team, permission: str) -> bool:
    return not await team.can(person, permission)


async def _allowed(team: Team) -> bool:
    answer = await team.administrator.ask("GET", f"{team.path}/permissions")
    return answer.status_code == 200


async def _all_there(team: Team) -> bool:
    return len(await markers(team)) == len(await team.ledger())
