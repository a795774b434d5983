"""No caller holds another tenant's lock, and no request waits while it holds a lock."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from teamaccess.changes.change_queue import SHARE, ChangeQueue
from teamaccess.ledger import Attribution
from teamaccess.storage import Channel, OrganizationId, User
from tests.support.deployment import OPERATOR, Deployment
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.responses import refused
from tests.support.spicedb_proxy import before_first_call, served_by, wait_until

KEY = {"Idempotency-Key": "one"}


async def invite(
    organization: Organization, by: Person, name: str = "zoe", **more: Any
) -> httpx.Response:
    """Invite a person."""
    body = {"email": organization.address(name), "roles": ["support"]}
    return await by.ask("POST", f"{organization.path}/invitations", json=body, **more)


async def test_a_stranger_does_not_enter_the_change_queue(
    acme: Organization, globex: Organization
) -> None:
    """While the organization is locked a stranger is refused at once, and does not queue for it."""
    stranger = globex.administrator
    async with acme.deployment.service.ledger.change(OPERATOR, acme.id):
        async with asyncio.timeout(8):  # a request in the queue would wait for ten seconds
            for path in (acme.path, "/v1/organizations/no-such-one"):
                answers = [
                    await stranger.ask(
                        "POST",
                        f"{path}/invitations",
                        json={"email": "a@b.example", "roles": ["support"]},
                    ),
                    await stranger.ask("DELETE", path),
                    await stranger.ask("PATCH", path, json={"name": "Mine"}),
                ]
                for answer in answers:
                    refused(answer, 404, "unknown_organization")


@asynccontextmanager
async def hold_all_connections(queue: ChangeQueue, caller: Attribution) -> AsyncIterator[None]:
    """Hold the caller's share of the connections, with changes to organizations of their own."""
    async with AsyncExitStack() as held:
        for number in range(SHARE):
            own = OrganizationId(f"own-{number}")
            await held.enter_async_context(queue.taken([own], caller))
        yield


async def test_a_caller_without_a_free_connection_takes_no_turn_in_an_organization(
    acme: Organization,
) -> None:
    """A change that waits for a connection of its caller must not keep the organization's turn."""
    eve = (await acme.add_members({"eve": ["administrator"]}))["eve"]
    queue = acme.deployment.service.ledger._turns
    async with hold_all_connections(queue, Attribution(f"user:{eve.id}", Channel.API, "tests")):
        hers = [asyncio.create_task(invite(acme, eve, f"guest{number}")) for number in range(3)]

        async def waits() -> bool:
            return queue.waiting(acme.id, f"user:{eve.id}") == len(hers)

        await wait_until(waits)
        async with asyncio.timeout(5):
            for name in ("amy", "ben", "cat"):
                assert (await invite(acme, acme.administrator, name)).status_code == 201
        assert not any(each.done() for each in hers)
    assert {each.status_code for each in await asyncio.gather(*hers)} == {201}


@pytest.mark.parametrize("organizations", [["victim"], ["another", "victim"]])
async def test_a_change_holds_nothing_while_it_waits(organizations: list[str]) -> None:
    """Neither a turn while it waits for a connection, nor one turn while it waits for another."""
    queue = ChangeQueue()
    eve, bob = (Attribution(f"user:{name}", Channel.API, "tests") for name in ("eve", "bob"))
    theirs = [OrganizationId(each) for each in organizations]

    async def change() -> None:
        async with queue.taken(theirs, eve):
            pass

    async with hold_all_connections(queue, eve):
        hers = asyncio.create_task(change())
        await asyncio.sleep(0)
        for organization in theirs:
            async with asyncio.timeout(1), queue.taken([organization], bob):
                await asyncio.sleep(0)
        assert not hers.done()
    async with asyncio.timeout(1):
        await hers


async def test_acceptances_in_one_organization_do_not_delay_those_in_another() -> None:
    """The anonymous callers of a process must not share one caller's share of the connections."""
    queue = ChangeQueue()
    anonymous = Attribution("anonymous", Channel.API, "tests")
    async with (
        hold_all_connections(queue, anonymous),
        asyncio.timeout(1),
        queue.taken([OrganizationId("victim")], anonymous),
    ):
        pass


async def test_an_idempotency_key_in_use_elsewhere_holds_no_lock(
    acme: Organization, globex: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member of two organizations uses one key in both: the slow one must not stop the other."""
    eve = (await globex.add_members({"eve": ["administrator"]}))["eve"]
    body = {"email": eve.email, "roles": ["support"]}
    await acme.administrator.ask("POST", f"{acme.path}/invitations", json=body)
    secret = acme.deployment.invitation_token(eve.email)
    joined = await eve.ask("POST", "/v1/invitations/accept", json={"token": secret})
    assert joined.status_code == 200, joined.text

    reached, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        reached.set()
        await go_on.wait()

    acme.deployment.service.admission._admitted[globex.id, eve.id] = True
    acme.deployment.service.admission._admitted[acme.id, eve.id] = True
    before_first_call(monkeypatch, acme.deployment, "answers", slow)
    holding = asyncio.create_task(invite(globex, eve, headers=KEY))
    await reached.wait()
    second = asyncio.create_task(invite(acme, eve, headers=KEY))
    started = asyncio.get_running_loop().time()
    for name in ("amy", "ben", "cat"):
        assert (await invite(acme, acme.administrator, name)).status_code == 201
    took = asyncio.get_running_loop().time() - started
    refused(await second, 409, "idempotency_key_in_use")
    go_on.set()
    assert (await holding).status_code == 201
    assert took < 1.5


async def test_the_same_request_to_two_processes_counts_once(
    acme: Organization, fintoc_elsewhere: Deployment
) -> None:
    elsewhere = served_by(fintoc_elsewhere, acme)
    answers = await asyncio.gather(
        *(
            invite(organization, organization.administrator, headers=KEY)
            for organization in (acme, elsewhere)
            for _ in range(2)
        )
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1


async def test_a_user_row_locked_by_another_tenant_does_not_delay_a_removal_for_long(
    acme: Organization,
) -> None:
    """A change locks rows that tenants share at its end, and waits for each a quarter of a second."""
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    async with acme.deployment.service.sessions.begin() as session:
        await session.execute(select(User).where(User.id == bob.id).with_for_update())
        started = asyncio.get_running_loop().time()
        refused(await acme.remove(bob), 503, "organization_busy")
        assert asyncio.get_running_loop().time() - started < 1.0
    assert (await acme.remove(bob)).status_code == 204


async def test_a_repeated_request_with_another_condition_is_another_request(
    acme: Organization,
) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    body = {"changes": [{"change": "suspend", "user": bob.id}]}
    plan = await acme.administrator.ask("POST", f"{acme.path}/audit/plan", json=body)
    tag = plan.headers["ETag"]
    first = await acme.administrator.ask(
        "POST", f"{acme.path}/changes", json=body, headers={**KEY, "If-Match": tag}
    )
    assert first.status_code == 200, first.text
    other = await acme.administrator.ask(
        "POST", f"{acme.path}/changes", json=body, headers={**KEY, "If-Match": '"another"'}
    )
    refused(other, 409, "idempotency_key_reused")


async def test_planned_changes_are_made_only_in_the_planned_state(acme: Organization) -> None:
    body = {"changes": [{"change": "suspend", "user": "usr_nobody"}]}
    for condition in ("*", " * ", "*,", ",*", '"x", *', 'W/"x",*'):
        answer = await acme.administrator.ask(
            "POST", f"{acme.path}/changes", json=body, headers={"If-Match": condition}
        )
        refused(answer, 400, "plan_needed")
