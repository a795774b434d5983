"""Nobody floods a chain of events, which is never pruned, with refusals or changes of nothing."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from teamaccess.changes.events import RefusalLimits, Refusals
from teamaccess.changes.events.refusals import REFUSAL_KINDS
from teamaccess.changes.events.users import Refused
from teamaccess.common.throttle import Throttle
from teamaccess.directory.users.tokens import Audience, issue
from teamaccess.ledger import Attribution
from teamaccess.storage import Channel, Event
from tests.support.machines import acting, backend
from tests.support.steps import enlist, events
from tests.support.teams import Crew
from tests.support.world import Person, Team, World
from tests.support.world_fixtures import hosted

FEW = RefusalLimits(from_one_actor=5, from_everybody=12)


async def refusals(world: World, chain: str, *actors: str) -> int:
    """How many refusals of these actors, or of all, the chain has."""
    counted = select(func.count()).where(Event.chain == chain, Event.kind.in_(REFUSAL_KINDS))
    if actors:
        counted = counted.where(Event.actor.in_(actors))
    async with world.service.reads() as session:
        return await session.scalar(counted) or 0


async def flood(person: Person, paths: Sequence[str]) -> None:
    """Ask for all of them, twenty at a time."""
    for start in range(0, len(paths), 20):
        await asyncio.gather(*(person.ask("GET", each) for each in paths[start : start + 20]))


@pytest.fixture
async def small(fintoc: World) -> AsyncIterator[World]:
    """A process that allows an actor 5 refusals an hour."""
    settings = fintoc.settings.model_copy(update={"refusals_per_actor": 5})
    async for world in hosted(settings, fintoc.owner_url):
        yield world


async def test_requests_about_invented_organizations_add_one_event(acme: Team) -> None:
    bob = (await enlist(acme, {"bob": ["support"]}))["bob"]
    invented = [f"/v1/organizations/no-{secrets.token_hex(4)}/members" for _ in range(60)]

    await flood(bob, invented)

    assert await refusals(acme.world, Event.PLATFORM, f"user:{bob.id}") == 1


async def test_a_member_cannot_flood_their_own_organization_with_what_they_choose(
    branch: Team,
) -> None:
    people = await enlist(branch, {"lea": ["lead"], "nora": []})
    before = await refusals(branch.world, branch.id)
    for number in range(30):
        roles = ["auditor", "deputy"] if number % 2 else ["deputy"]
        await branch.change_roles(people["nora"], *roles, by=people["lea"])
    assert await refusals(branch.world, branch.id) - before == 1


async def test_all_codes_and_routes_together_stay_below_the_limit_of_an_actor(
    small: World,
) -> None:
    team = await small.create("acme")
    bob = (await enlist(team, {"bob": []}))["bob"]
    routes = ["members", "invitations", "roles", "teams", "service-accounts", "audit/who-can"]
    for route in (*routes, "changes/1", "permissions", "access-requests", "resources"):
        await bob.ask("GET", f"/v1/organizations/nowhere/{route}")
        await bob.ask("POST", f"/v1/organizations/nowhere/{route}", json={})
    assert await refusals(small, Event.PLATFORM, f"user:{bob.id}") == 5


async def test_a_backend_counts_as_one_actor_whomever_it_acts_for(small: World) -> None:
    team = await small.create("acme")
    people = await enlist(team, {f"p{number}": ["support"] for number in range(8)})
    site = await backend(team, "users_access")
    for person in people.values():
        await acting(site, person.id).ask("GET", f"{team.path}/invitations")
    assert await refusals(small, team.id) <= 5


async def test_several_processes_share_one_limit(fintoc: World, acme: Team) -> None:
    processes = [Refusals(fintoc.service.sessions, FEW) for _ in range(4)]
    who = Attribution("user:usr_mallory", Channel.API, "flood")
    await asyncio.gather(
        *(
            process.record(who, Refused(code=f"code_{number}"), acme.id)
            for process in processes
            for number in range(20)
        )
    )
    assert await refusals(fintoc, acme.id) == FEW.from_one_actor


async def test_many_actors_together_stay_below_the_limit_of_the_chain(
    fintoc: World, acme: Team
) -> None:
    refusals_of_all = Refusals(fintoc.service.sessions, FEW)
    for number in range(40):
        who = Attribution(f"user:usr_{number}", Channel.API, "flood")
        await refusals_of_all.record(who, Refused(code="missing_permission"), acme.id)
    assert await refusals(fintoc, acme.id) == FEW.from_everybody


async def test_the_next_refusal_tells_how_many_were_suppressed(fintoc: World, acme: Team) -> None:
    process = Refusals(fintoc.service.sessions, FEW)
    who = Attribution("user:usr_mallory", Channel.API, "flood")
    for _ in range(10):
        await process.record(who, Refused(code="missing_permission"), acme.id)
    await process.record(who, Refused(code="member_above_actor"), acme.id)

    first, second = (await events(acme))[-2:]
    assert "suppressed" not in first.details
    assert second.details == {"code": "member_above_actor", "suppressed": 9}


async def test_tokens_of_invented_users_are_one_actor(fintoc: World) -> None:
    service = fintoc.service
    now = await service.now()
    before = await refusals(fintoc, Event.PLATFORM)
    for number in range(20):
        subject = f"usr_invented_{number}_{secrets.token_hex(4)}"
        token = issue(service.keys, Audience.USER, subject, now, timedelta(hours=1))
        answer = await Person(fintoc, subject, "", token).ask("GET", "/v1/me")  # type: ignore[arg-type]
        assert answer.status_code == 401
    assert await refusals(fintoc, Event.PLATFORM) - before <= 1


def test_filling_the_memory_frees_nobody_but_the_oldest() -> None:
    seldom = Throttle(3600.0, remembered=100)
    assert seldom.allows("victim")
    assert all(seldom.allows(number) for number in range(99))
    assert not seldom.allows("victim")
    assert all(seldom.allows(number) for number in range(99, 150))
    assert not any(seldom.allows(number) for number in range(100, 150))


async def test_what_changes_nothing_adds_no_event(acme: Team) -> None:
    ana = acme.administrator
    bob = (await enlist(acme, {"bob": ["support"]}))["bob"]
    crew = await Crew.made(acme, "crew", "support")
    role = {"name": "Looker", "actions": ["users_access"]}
    made = await ana.ask("POST", f"{acme.path}/roles", json={"id": "looker", **role})
    assert made.status_code == 201, made.text
    (await ana.ask("PATCH", acme.path, json={"name": "Acme"})).raise_for_status()
    before = len(await events(acme))

    for _ in range(3):
        for answer in (
            await ana.ask("PATCH", acme.path, json={"name": "Acme"}),
            await ana.ask("PATCH", crew.path, json={"name": "Crew"}),
            await crew.hold("support"),
            await acme.change_roles(bob, "support"),
            await ana.ask("PUT", f"{acme.path}/roles/looker", json=role),
        ):
            assert answer.status_code == 200, answer.text
    assert len(await events(acme)) == before


async def test_signing_out_again_and_again_is_not_told_without_limit(acme: Team) -> None:
    bob = (await enlist(acme, {"bob": ["support"]}))["bob"]
    for _ in range(25):
        bob.token = await acme.world.token(bob.id)
        assert (await bob.ask("POST", "/v1/me/sign-out")).status_code == 204
        assert (await bob.ask("GET", "/v1/me")).status_code == 401
    async with acme.world.service.reads() as session:
        told = await session.scalar(
            select(func.count()).where(
                Event.kind == "signed_out", Event.subject == f"user:{bob.id}"
            )
        )
    assert told is not None
    assert told <= 10
