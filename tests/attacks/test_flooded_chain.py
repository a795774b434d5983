"""No actor floods a chain of events, which is never pruned, with refusals or requests without
effect.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from teamaccess.changes.events import RefusalLimits, Refusals
from teamaccess.changes.events.refusals import REFUSAL_KINDS
from teamaccess.changes.events.users import Refused
from teamaccess.common.sharing.throttle import Throttle
from teamaccess.directory.users.tokens import Audience, issue_access_token
from teamaccess.ledger import Attribution
from teamaccess.storage import Channel, Event
from tests.support.deployment import Deployment
from tests.support.fixtures import hosted
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.teams import Team

FEW = RefusalLimits(from_one_actor=5, from_everybody=12)


async def refusals(deployment: Deployment, chain: str, *actors: str) -> int:
    """How many refusals of these actors, or of all, the chain has."""
    counted = select(func.count()).where(Event.chain == chain, Event.kind.in_(REFUSAL_KINDS))
    if actors:
        counted = counted.where(Event.actor.in_(actors))
    async with deployment.service.reads() as session:
        return await session.scalar(counted) or 0


async def flood(person: Person, paths: Sequence[str]) -> None:
    """Send all of the requests, twenty at a time."""
    for start in range(0, len(paths), 20):
        await asyncio.gather(*(person.ask("GET", each) for each in paths[start : start + 20]))


@pytest.fixture
async def small(fintoc: Deployment) -> AsyncIterator[Deployment]:
    """A process that allows an actor 5 refusals an hour."""
    settings = fintoc.settings.model_copy(update={"refusals_per_actor": 5})
    async for deployment in hosted(settings, fintoc.owner_url):
        yield deployment


async def test_requests_about_invented_organizations_add_one_event(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    invented = [f"/v1/organizations/no-{secrets.token_hex(4)}/members" for _ in range(60)]

    await flood(bob, invented)

    assert await refusals(acme.deployment, Event.PLATFORM, f"user:{bob.id}") == 1


async def test_a_member_cannot_flood_the_events_of_their_organization(
    branch: Organization,
) -> None:
    people = await branch.add_members({"lea": ["lead"], "nora": []})
    before = await refusals(branch.deployment, branch.id)
    for number in range(30):
        roles = ["auditor", "deputy"] if number % 2 else ["deputy"]
        await branch.change_roles(people["nora"], *roles, by=people["lea"])
    assert await refusals(branch.deployment, branch.id) - before == 1


async def test_all_codes_and_routes_together_stay_below_the_limit_of_an_actor(
    small: Deployment,
) -> None:
    organization = await small.create_organization("acme")
    bob = (await organization.add_members({"bob": []}))["bob"]
    routes = ["members", "invitations", "roles", "teams", "service-accounts", "audit/who-can"]
    for route in (*routes, "changes/1", "permissions", "access-requests", "resources"):
        await bob.ask("GET", f"/v1/organizations/nowhere/{route}")
        await bob.ask("POST", f"/v1/organizations/nowhere/{route}", json={})
    assert await refusals(small, Event.PLATFORM, f"user:{bob.id}") == 5


async def test_a_backend_counts_as_one_actor_for_all_its_members(small: Deployment) -> None:
    organization = await small.create_organization("acme")
    people = await organization.add_members({f"p{number}": ["support"] for number in range(8)})
    site = await organization.add_backend_account("users_access")
    for person in people.values():
        await site.on_behalf_of(person.id).ask("GET", f"{organization.path}/invitations")
    assert await refusals(small, organization.id) <= 5


async def test_several_processes_share_one_limit(fintoc: Deployment, acme: Organization) -> None:
    processes = [Refusals(fintoc.service.sessions, fintoc.service.locks, FEW) for _ in range(4)]
    who = Attribution("user:usr_mallory", Channel.API, "flood")
    await asyncio.gather(
        *(
            process.record(who, Refused(code=f"code_{number}"), acme.id)
            for process in processes
            for number in range(20)
        )
    )
    await asyncio.gather(
        *(process.close() for process in processes)
    )  # records the postponed refusals
    assert await refusals(fintoc, acme.id) == FEW.from_one_actor


async def test_many_actors_together_stay_below_the_limit_of_the_chain(
    fintoc: Deployment, acme: Organization
) -> None:
    refusals_of_all = Refusals(fintoc.service.sessions, fintoc.service.locks, FEW)
    for number in range(40):
        who = Attribution(f"user:usr_{number}", Channel.API, "flood")
        await refusals_of_all.record(who, Refused(code="missing_permission"), acme.id)
    assert await refusals(fintoc, acme.id) == FEW.from_everybody


async def test_the_next_recorded_refusal_counts_the_suppressed_ones(
    fintoc: Deployment, acme: Organization
) -> None:
    process = Refusals(fintoc.service.sessions, fintoc.service.locks, FEW)
    who = Attribution("user:usr_mallory", Channel.API, "flood")
    for _ in range(10):
        await process.record(who, Refused(code="missing_permission"), acme.id)
    await process.record(who, Refused(code="member_above_actor"), acme.id)

    first, second = (await acme.events())[-2:]
    assert "suppressed" not in first.details
    assert second.details == {"code": "member_above_actor", "suppressed": 9}


async def test_tokens_of_invented_users_are_one_actor(fintoc: Deployment) -> None:
    service = fintoc.service
    now = await service.now()
    requests = set()
    for number in range(20):
        subject = f"usr_invented_{number}_{secrets.token_hex(4)}"
        token = issue_access_token(service.keys, Audience.USER, subject, now, timedelta(hours=1))
        answer = await Person(fintoc, subject, "", token).ask("GET", "/v1/me")  # type: ignore[arg-type]
        assert answer.status_code == 401
        requests.add(answer.headers["X-Request-Id"])
    recorded = [
        event
        for event in await fintoc.events(Event.PLATFORM)
        if event.kind in REFUSAL_KINDS and event.request_id in requests
    ]
    assert len(recorded) <= 1


def test_a_full_memory_forgets_only_the_oldest_actor() -> None:
    seldom = Throttle(3600.0, remembered=100)
    assert seldom.allows("victim")
    assert all(seldom.allows(number) for number in range(99))
    assert not seldom.allows("victim")
    assert all(seldom.allows(number) for number in range(99, 150))
    assert not any(seldom.allows(number) for number in range(100, 150))


async def test_a_request_that_changes_nothing_adds_no_event(acme: Organization) -> None:
    ana = acme.administrator
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    team = await Team.create(acme, "crew", "support")
    role = {"name": "Looker", "actions": ["users_access"]}
    made = await ana.ask("POST", f"{acme.path}/roles", json={"id": "looker", **role})
    assert made.status_code == 201, made.text
    (await ana.ask("PATCH", acme.path, json={"name": "Acme"})).raise_for_status()
    before = len(await acme.events())

    for _ in range(3):
        for answer in (
            await ana.ask("PATCH", acme.path, json={"name": "Acme"}),
            await ana.ask("PATCH", team.path, json={"name": "Crew"}),
            await team.set_roles("support"),
            await acme.change_roles(bob, "support"),
            await ana.ask("PUT", f"{acme.path}/roles/looker", json=role),
        ):
            assert answer.status_code == 200, answer.text
    assert len(await acme.events()) == before


async def test_repeated_sign_outs_add_a_limited_number_of_events(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    for _ in range(25):
        bob.token = await acme.deployment.token(bob.id)
        assert (await bob.ask("POST", "/v1/me/sign-out")).status_code == 204
        assert (await bob.ask("GET", "/v1/me")).status_code == 401
    async with acme.deployment.service.reads() as session:
        reported = await session.scalar(
            select(func.count()).where(
                Event.kind == "signed_out", Event.subject == f"user:{bob.id}"
            )
        )
    assert reported is not None
    assert reported <= 10
