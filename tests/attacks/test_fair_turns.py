"""No caller delays another tenant or another caller for long."""

import asyncio
import itertools

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.audit.state.moment import Moment, PositionAt, position_at
from teamaccess.audit.state.queue import AuditQueue
from teamaccess.catalog import Catalog, read_catalog
from teamaccess.changes import time_limit
from teamaccess.changes.change_queue import ANONYMOUS_AT_ONCE, AT_ONCE, SHARE, ChangeQueue
from teamaccess.common.sharing.loop_share import LoopShare, current_share
from teamaccess.ledger import Attribution
from teamaccess.storage import Channel, OrganizationId
from tests.support.deployment import OPERATOR, Deployment
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.responses import refused
from tests.support.spicedb_proxy import another_process, served_by, wait_until

MANY = 24
"""More questions than a process has connections to read with."""


async def invite(organization: Organization, by: Person, name: str) -> httpx.Response:
    """Invite a person."""
    body = {"email": organization.address(name), "roles": ["support"]}
    return await by.ask("POST", f"{organization.path}/invitations", json=body)


def position(answer: httpx.Response) -> int:
    """Where the change stands in its ledger."""
    return int(answer.headers["Teamaccess-Change"].rpartition(":")[2])


async def test_a_caller_with_many_changes_alternates_with_others(acme: Organization) -> None:
    eve = (await acme.add_members({"eve": ["administrator"]}))["eve"]
    async with acme.deployment.service.ledger.change(OPERATOR, acme.id):
        many = [asyncio.create_task(invite(acme, eve, f"guest{n}")) for n in range(10)]
        await asyncio.sleep(0.5)  # they stand in the queue
        one = asyncio.create_task(invite(acme, acme.administrator, "zoe"))
        await asyncio.sleep(0.5)
    places = sorted(map(position, await asyncio.gather(*many)))
    assert position(await one) <= places[1] + 1


async def test_a_caller_with_many_organizations_gets_only_a_share_of_the_connections() -> None:
    turns = ChangeQueue()
    eve, bob = (Attribution(f"user:{name}", Channel.API, "tests") for name in ("eve", "bob"))
    release = asyncio.Event()

    async def change(organization: str, who: Attribution) -> None:
        async with turns.taken([OrganizationId(organization)], who):
            await release.wait()

    many = [asyncio.create_task(change(f"eve-{n}", eve)) for n in range(60)]
    await asyncio.sleep(0)
    async with asyncio.timeout(1), turns.taken([OrganizationId("bob")], bob):
        assert turns.connections("user:eve") == SHARE
    release.set()
    await asyncio.gather(*many)


@pytest.mark.parametrize(
    ("others", "crowded", "rests"),
    [(True, True, True), (True, False, False), (False, True, False)],
)
async def test_an_organization_with_a_crowd_of_changes_rests_while_other_tenants_ask(
    monkeypatch: pytest.MonkeyPatch, others: bool, crowded: bool, rests: bool
) -> None:
    """Before the fix, changes of one tenant in quick succession took most of a process's time."""
    seconds = itertools.count()
    monkeypatch.setattr(
        "teamaccess.common.sharing.fairness.monotonic", lambda: float(next(seconds))
    )
    monkeypatch.setattr("teamaccess.common.sharing.fairness.TURN_REST", 3600.0)
    current_share.set(LoopShare(lambda: others))
    turns = ChangeQueue()
    acme, globex = OrganizationId("acme"), OrganizationId("globex")
    eve, bob = (Attribution(f"user:{name}", Channel.API, "tests") for name in ("eve", "bob"))

    async def change(organization: OrganizationId, who: Attribution) -> None:
        async with turns.taken([organization], who):
            pass

    async with turns.taken([acme], eve):
        waiting = [asyncio.create_task(change(acme, eve))] if crowded else []
        await asyncio.sleep(0)
    async with asyncio.timeout(1):
        await change(globex, bob)  # which never waits for another organization's rest
    if rests:
        assert not waiting[0].done()
        waiting[0].cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    else:
        async with asyncio.timeout(1):
            await asyncio.gather(*waiting, change(acme, bob))


async def test_a_caller_with_many_plans_gets_only_a_share_of_the_connections() -> None:
    """Although an operator makes the rehearsal, its connection counts against the caller."""
    turns = ChangeQueue()
    bob = Attribution("user:bob", Channel.API, "tests")
    release = asyncio.Event()

    async def rehearse(organization: str) -> None:
        async with turns.taken([OrganizationId(organization)], OPERATOR, asker="user:eve"):
            await release.wait()

    many = [asyncio.create_task(rehearse(f"eve-{n}")) for n in range(60)]
    await asyncio.sleep(0)
    async with asyncio.timeout(1), turns.taken([OrganizationId("bob")], bob):
        assert turns.connections("user:eve") == SHARE
    release.set()
    await asyncio.gather(*many)


async def test_anonymous_callers_leave_connections_for_known_callers() -> None:
    turns, release = ChangeQueue(), asyncio.Event()
    anonymous = Attribution("anonymous", Channel.API, "tests")

    async def accept(organization: str) -> None:
        async with turns.taken([OrganizationId(organization)], anonymous):
            await release.wait()

    many = [asyncio.create_task(accept(f"eve-{n}")) for n in range(60)]
    await asyncio.sleep(0)
    granted = [turns.connections(f"anonymous:eve-{n}") for n in range(60)]
    assert sum(granted) == ANONYMOUS_AT_ONCE < AT_ONCE
    bob = Attribution("user:bob", Channel.API, "tests")
    async with asyncio.timeout(1), turns.taken([OrganizationId("bob")], bob):
        pass
    release.set()
    await asyncio.gather(*many)


async def test_a_caller_with_questions_about_many_tenants_leaves_room_for_others() -> None:
    queue, release = AuditQueue(), asyncio.Event()

    async def ask(organization: str) -> None:
        async with queue.turn(OrganizationId(organization), "user:vera"):
            await release.wait()

    many = [asyncio.create_task(ask(f"tenant-{n}")) for n in range(10)]
    await asyncio.sleep(0)
    async with asyncio.timeout(1), queue.turn(OrganizationId("acme"), "user:ana"):
        assert not any(each.done() for each in many)
    release.set()
    await asyncio.gather(*many)


async def test_catalogs_in_plans_are_read_in_turn(
    acme: Organization, globex: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading one takes up to a second of CPU time."""
    begun: list[str] = []

    def reading(text: str, name: str) -> Catalog:
        begun.append(text)
        return read_catalog(text, name)

    async def plan(organization: Organization, catalog: str) -> httpx.Response:
        url = f"{organization.path}/audit/plan"
        return await organization.administrator.ask("POST", url, json={"catalog": catalog})

    monkeypatch.setattr("teamaccess.api.routes.plans.read_catalog", reading)
    async with acme.deployment.service.audit.sources.catalog_queue.turn(globex.id, "user:slow"):
        others = [asyncio.create_task(plan(globex, "of globex")) for _ in range(MANY)]
        async with asyncio.timeout(20):
            refused(await plan(acme, "of acme"), 400, "bad_catalog")
        assert begun == ["of acme"]
    assert {each.status_code for each in await asyncio.gather(*others)} == {400}


async def test_a_tenants_questions_about_the_past_leave_connections_for_others(
    acme: Organization, globex: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a question waits for a change under way, with a connection that sign-ins need."""
    release, waiting = asyncio.Event(), 0

    async def until_released(
        session: AsyncSession, organization: OrganizationId, moment: Moment
    ) -> PositionAt:
        nonlocal waiting
        if organization == globex.id:
            await session.connection()
            waiting += 1
            await release.wait()
        return await position_at(session, organization, moment)

    monkeypatch.setattr("teamaccess.audit.sources.position_at", until_released)
    at = {"at": (await acme.deployment.service.now()).isoformat()}

    async def ask(organization: Organization) -> httpx.Response:
        return await organization.administrator.ask(
            "GET", f"{organization.path}/audit/matrix", params=at
        )

    async def waits() -> bool:
        return waiting > 0

    others = [asyncio.create_task(ask(globex)) for _ in range(MANY)]
    await wait_until(waits)
    async with asyncio.timeout(20):
        assert (await ask(acme)).status_code == 200
    assert waiting == 1
    release.set()
    assert {each.status_code for each in await asyncio.gather(*others)} == {200}


@pytest.mark.parametrize("question", ["past", "plan"])
async def test_questions_that_wait_for_a_change_of_their_tenant_hold_no_sandbox(
    acme: Organization,
    globex: Organization,
    fintoc: Deployment,
    monkeypatch: pytest.MonkeyPatch,
    question: str,
) -> None:
    """Before the fix, two tenants with long changes held both places, and a third one waited for both."""
    monkeypatch.setattr("teamaccess.audit.state.moment.PATIENCE_SECONDS", 60.0, raising=False)
    third = await fintoc.create_organization("initrode")
    now = await fintoc.service.now()

    async def ask_past(organization: Organization) -> httpx.Response:
        return await organization.administrator.ask(
            "GET", f"{organization.path}/audit/matrix", params={"at": now.isoformat()}
        )

    async def make_plan(organization: Organization) -> httpx.Response:
        body = {"changes": [{"change": "suspend", "user": "usr_nobody"}]}
        path = f"{organization.path}/audit/plan"
        return await organization.administrator.ask("POST", path, json=body)

    ask = ask_past if question == "past" else make_plan
    async with (
        fintoc.service.ledger.change(OPERATOR, acme.id),
        fintoc.service.ledger.change(OPERATOR, globex.id),
    ):
        waiting = [asyncio.create_task(ask(each)) for each in (acme, globex)]
        await asyncio.sleep(0.5)
        answer = await ask_past(third)
        assert not any(each.done() for each in waiting)
    assert answer.status_code == 200, answer.text
    await asyncio.gather(*waiting)


async def test_large_questions_of_a_tenant_leave_room_for_other_tenants(
    acme: Organization, globex: Organization
) -> None:
    audit = acme.deployment.service.audit.sources
    async with audit.queue.turn(globex.id, "user:slow"):
        others = [
            asyncio.create_task(globex.administrator.ask("GET", f"{globex.path}/audit/matrix"))
            for _ in range(MANY)
        ]
        async with asyncio.timeout(20):
            answer = await acme.administrator.ask("GET", f"{acme.path}/audit/matrix")
        assert answer.status_code == 200
        assert not any(each.done() for each in others)
    assert {each.status_code for each in await asyncio.gather(*others)} == {200}


async def test_changes_have_the_same_time_limit_as_their_plan(
    acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    body = {"changes": [{"change": "suspend", "user": bob.id}]}
    plan = await acme.administrator.ask("POST", f"{acme.path}/audit/plan", json=body)
    monkeypatch.setattr(time_limit, "LONGEST_SECONDS", 0)
    made = await acme.administrator.ask(
        "POST", f"{acme.path}/changes", json=body, headers={"If-Match": plan.headers["ETag"]}
    )
    refused(made, 409, "plan_takes_too_long")
    refused(
        await acme.administrator.ask("POST", f"{acme.path}/audit/plan", json=body),
        409,
        "plan_takes_too_long",
    )


async def test_a_caller_who_sends_too_much_gets_retry_after(
    acme: Organization, globex: Organization
) -> None:
    async with another_process(
        acme.deployment, requests_per_second=0.1, requests_burst=5
    ) as second:
        ana, other = (
            served_by(second, organization).administrator for organization in (acme, globex)
        )
        answers = [await ana.ask("GET", "/v1/me") for _ in range(7)]
        assert [each.status_code for each in answers] == [200] * 5 + [429] * 2
        problem = refused(answers[-1], 429, "too_many_requests")
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 10
        assert problem["limit"] == "0.1"
        # another token of the same person does not help
        ana.token = await second.token(ana.id)
        refused(await ana.ask("GET", "/v1/me"), 429, "too_many_requests")
        assert (await other.ask("GET", "/v1/me")).status_code == 200
        # and monitoring still gets an answer from the process
        assert (await second.http.get("/healthz")).status_code == 200


async def test_a_caller_with_too_many_changes_waiting_is_refused(
    acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("teamaccess.changes.change_queue.MOST_WAITING", 3)
    async with acme.deployment.service.ledger.change(OPERATOR, acme.id):
        answers = [
            asyncio.create_task(invite(acme, acme.administrator, f"guest{n}")) for n in range(6)
        ]
        done, _ = await asyncio.wait(answers, timeout=1.5)
        codes = [each.result().json()["code"] for each in done]
        assert codes == ["too_many_waiting"] * 3
    statuses = [each.status_code for each in await asyncio.gather(*answers)]
    assert sorted(statuses) == [201] * 3 + [429] * 3


async def test_a_plan_uses_the_turn_of_its_caller(acme: Organization) -> None:
    """The rehearsal has no caller, but its place in the queue is the caller's."""
    eve = (await acme.add_members({"eve": ["administrator"]}))["eve"]
    body = {"changes": [{"change": "suspend", "user": eve.id}]}
    ledger = acme.deployment.service.ledger
    async with ledger.change(OPERATOR, acme.id):
        asked = asyncio.create_task(eve.ask("POST", f"{acme.path}/audit/plan", json=body))

        async def waits() -> bool:
            return ledger._turns.waiting(acme.id, f"user:{eve.id}") == 1

        await wait_until(waits)
    assert (await asked).status_code == 200


async def test_changes_that_wait_for_an_organization_hold_no_slot(acme: Organization) -> None:
    """While they wait, their tenant's short requests are answered."""
    async with acme.deployment.service.ledger.change(OPERATOR, acme.id):
        waiting = [
            asyncio.create_task(invite(acme, acme.administrator, f"guest{n}")) for n in range(8)
        ]
        queue, caller = acme.deployment.service.ledger._turns, f"user:{acme.administrator.id}"

        async def all_wait() -> bool:
            return queue.waiting(acme.id, caller) == len(waiting)

        await wait_until(all_wait)
        async with asyncio.timeout(5):
            assert (await acme.administrator.ask("GET", acme.path)).status_code == 200
        assert not any(each.done() for each in waiting)
    assert {each.status_code for each in await asyncio.gather(*waiting)} == {201}


async def test_a_request_that_waits_for_an_organization_holds_no_anonymous_slot(
    acme: Organization,
) -> None:
    """Acceptances that wait for one organization delay neither probes nor other anonymous requests."""
    for name in ("ann", "ben", "cat"):
        assert (await invite(acme, acme.administrator, name)).status_code == 201
    async with acme.deployment.service.ledger.change(OPERATOR, acme.id):
        waiting = [asyncio.create_task(acme.accept(name)) for name in ("ann", "ben", "cat")]
        async with asyncio.timeout(8):
            assert (await acme.deployment.http.get("/readyz")).status_code == 200
            assert (await acme.deployment.http.get("/v1/catalog")).status_code == 200
        assert not any(each.done() for each in waiting)
    assert {each.status_code for each in await asyncio.gather(*waiting)} == {200}


async def test_a_batch_of_questions_counts_as_many_requests(acme: Organization) -> None:
    question = {"organization": acme.id, "action": "refunds_create"}
    async with another_process(
        acme.deployment, requests_per_second=0.1, requests_burst=12
    ) as second:
        ana = served_by(second, acme).administrator
        assert (await ana.ask("POST", "/v1/check", json={"checks": [question] * 10})).is_success
        refused(
            await ana.ask("POST", "/v1/check", json={"checks": [question] * 10}),
            429,
            "too_many_requests",
        )
