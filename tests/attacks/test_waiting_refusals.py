"""Notes about requests, such as refusals and times of use, never wait for another caller's change."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.changes.events.users import Refused
from teamaccess.directory.service_accounts.tokens import issue_api_token
from teamaccess.ledger import Attribution
from teamaccess.storage import Channel, Event, User
from tests.support.deployment import OPERATOR, Deployment
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.responses import refused
from tests.support.spicedb_proxy import wait_until

MANY = 40
"""More than the connections with which a process writes."""
LOCK_CHAIN = text("""
INSERT INTO events (chain, kind, actor, channel, request_id, details)
VALUES (:chain, 'signed_out', 'user:tests', 'api', 'tests', '{}')
""")
"""Locks a chain, as a change does that has recorded an event and is not committed yet."""


@asynccontextmanager
async def holding(deployment: Deployment, *chains: str) -> AsyncIterator[AsyncSession]:
    """Hold chains as a long change or a plan does, and roll it back at the end of the block."""
    async with deployment.service.sessions() as session:
        for chain in chains:
            await session.execute(LOCK_CHAIN, {"chain": chain})
        yield session


async def ask_in_vain(person: Person, organization: Organization) -> None:
    """Request something that the person may not see."""
    answer = await person.ask("GET", f"{organization.path}/invitations")
    refused(answer, 403, "missing_permission")


async def refusals_in(organization: Organization) -> int:
    return sum(event.kind == "refused" for event in await organization.events())


async def test_a_refusal_does_not_wait_for_a_change_of_its_organization(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": []}))["bob"]
    async with holding(acme.deployment, acme.id):
        async with asyncio.timeout(1):
            await ask_in_vain(bob, acme)
        assert await refusals_in(acme) == 0

    async def is_recorded() -> bool:
        return await refusals_in(acme) == 1

    await wait_until(is_recorded)
    last = (await acme.events())[-1]
    assert (last.actor, last.details["code"]) == (f"user:{bob.id}", "missing_permission")


async def test_refusals_of_a_busy_organization_do_not_delay_those_of_others(
    acme: Organization, globex: Organization
) -> None:
    """Before the fix, two of them occupied the connections of all refusals for two seconds each."""
    refusals, refusal = acme.deployment.service.refusals, Refused(code="missing_permission")
    actors = [Attribution(f"user:usr_{n}", Channel.API, "tests") for n in range(12)]
    async with holding(globex.deployment, globex.id):
        theirs = [asyncio.create_task(refusals.record(each, refusal, globex.id)) for each in actors]
        await asyncio.sleep(0.01)
        async with asyncio.timeout(1):
            await refusals.record(actors[0], refusal, acme.id)
        assert await refusals_in(acme) == 1
        async with asyncio.timeout(2):
            await asyncio.gather(*theirs)
        assert await refusals_in(globex) == 0

    async def are_recorded() -> bool:
        return await refusals_in(globex) == len(actors)

    await wait_until(are_recorded)


async def test_a_refusal_does_not_wait_for_the_chain_of_the_platform(
    acme: Organization, globex: Organization
) -> None:
    """A founder, a first sign-in or an operator holds it until their change is committed."""
    bob = (await acme.add_members({"bob": []}))["bob"]
    async with holding(acme.deployment, Event.PLATFORM):
        async with asyncio.timeout(1):
            answer = await bob.ask("GET", f"{globex.path}/members")
            refused(answer, 404, "unknown_organization")

    async def is_recorded() -> bool:
        events = await acme.deployment.events(Event.PLATFORM)
        return any(event.actor == f"user:{bob.id}" for event in events)

    await wait_until(is_recorded)


async def test_a_process_that_ends_records_its_postponed_refusals(
    acme: Organization, fintoc_elsewhere: Deployment
) -> None:
    bob = (await acme.add_members({"bob": []}))["bob"]
    elsewhere = Person(fintoc_elsewhere, bob.id, bob.email, bob.token)
    async with holding(acme.deployment, acme.id):
        await ask_in_vain(elsewhere, acme)
    await fintoc_elsewhere.service.refusals.close()
    assert await refusals_in(acme) == 1


@pytest.mark.parametrize("table", ["api_tokens", "memberships"])
async def test_notes_about_locked_rows_do_not_take_the_connections_that_write(
    acme: Organization, globex: Organization, table: str
) -> None:
    """Before the fix, each request of a locked member or token held a connection for a second or two."""
    service = globex.deployment.service
    members = await globex.add_members({f"p{n}": [] for n in range(MANY)})
    robots = [await globex.add_service_account("support") for _ in range(4)]
    async with service.ledger.change(OPERATOR, globex.id) as change:
        issued = [
            await issue_api_token(change, robot.id, "one", timedelta(days=1))
            for robot in robots
            for _ in range(MANY // len(robots))
        ]
        await service.ledger.commit(change)
    tokens = [each.token for each in issued]
    lock = text(f"SELECT FROM {table} WHERE organization_id = :organization FOR UPDATE")
    async with service.sessions() as session:
        await session.execute(lock, {"organization": globex.id})
        notes = [
            *(asyncio.create_task(service.token_use.seen(token)) for token in tokens),
            *(
                asyncio.create_task(service.activity.seen(globex.id, member.id))
                for member in members.values()
            ),
        ]
        await asyncio.sleep(0.1)
        async with asyncio.timeout(1.5):
            renamed = await acme.administrator.ask("PATCH", acme.path, json={"name": "New"})
        assert renamed.is_success, renamed.text
        await asyncio.gather(*notes)


async def test_a_sign_out_that_waits_for_its_user_does_not_hold_the_chain_of_the_platform(
    acme: Organization,
) -> None:
    """Before the fix, it recorded the event first, and then waited two seconds for the locked user."""
    people = await acme.add_members({"bob": [], "eve": []})
    sessions = acme.deployment.service.sessions
    async with sessions() as session:
        await session.execute(select(User).where(User.id == people["eve"].id).with_for_update())
        hers = asyncio.create_task(people["eve"].ask("POST", "/v1/me/sign-out"))
        await asyncio.sleep(0.3)
        assert (await people["bob"].ask("POST", "/v1/me/sign-out")).status_code == 204
        assert not hers.done()
    assert (await hers).status_code in (204, 503)
