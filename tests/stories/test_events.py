"""Everything that people do, and every refusal, is an event in a chain."""

import re
from collections.abc import Awaitable, Callable

import httpx
import pytest

from teamaccess.storage import Event
from tests.support.chain_hashes import broken_events
from tests.support.database_connections import Connection
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.responses import refused
from tests.support.spicedb_proxy import wait_until

IDS = re.compile(r"[a-z_]+:[\w/-]+|anonymous")
"""A kind and an id. An email address has another character before its @."""


async def only_event_of(organization: Organization, answer: httpx.Response) -> Event:
    """The only event that the answered request recorded. A refusal may wait for the chain."""
    left: list[Event] = []

    async def is_recorded() -> bool:
        left[:] = [
            each
            for name in (organization.id, Event.PLATFORM)
            for each in await organization.deployment.events(name)
            if each.request_id == answer.headers["X-Request-Id"]
        ]
        return bool(left)

    await wait_until(is_recorded)
    assert len(left) == 1, [each.kind for each in left]
    return left[0]


Operation = Callable[[Organization, Person, str], Awaitable[httpx.Response]]

OPERATIONS: dict[str, Operation] = {
    "organization_renamed": lambda acme, bob, invitation: acme.administrator.ask(
        "PATCH", acme.path, json={"name": "A"}
    ),
    "member_invited": lambda acme, bob, invitation: acme.invite("eve", ["support"]),
    "invitation_resent": lambda acme, bob, invitation: acme.administrator.ask(
        "POST", f"{acme.path}/invitations/{invitation}/resend"
    ),
    "invitation_cancelled": lambda acme, bob, invitation: acme.administrator.ask(
        "DELETE", f"{acme.path}/invitations/{invitation}"
    ),
    "roles_changed": lambda acme, bob, invitation: acme.change_roles(bob, "product"),
    "member_suspended": lambda acme, bob, invitation: acme.suspend(bob),
    "member_removed": lambda acme, bob, invitation: acme.remove(bob),
    "organization_deleted": lambda acme, bob, invitation: acme.administrator.ask(
        "DELETE", acme.path
    ),
}


@pytest.mark.parametrize("kind", OPERATIONS)
async def test_everything_an_administrator_does_is_an_event_of_the_organization(
    acme: Organization, kind: str
) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    invitation = (await acme.invite("guest", ["support"])).json()["id"]

    done = await OPERATIONS[kind](acme, bob, invitation)

    assert done.is_success, done.text
    reported = await only_event_of(acme, done)
    assert (reported.kind, reported.chain, reported.channel) == (kind, acme.id, "api")
    assert reported.actor == f"user:{acme.administrator.id}"
    assert reported.subject is not None
    assert IDS.fullmatch(reported.subject)
    assert reported.request_id == done.headers["X-Request-Id"]


async def test_reactivating_leaving_and_creating_an_organization_are_events(
    initech: Organization,
) -> None:
    bob = (await initech.add_members({"bob": ["read"]}, suspended=["bob"]))["bob"]
    back = await only_event_of(initech, await initech.reactivate(bob))
    assert (back.kind, back.subject) == ("member_reactivated", f"user:{bob.id}")
    left = await only_event_of(initech, await bob.ask("POST", f"{initech.path}/leave"))
    assert (left.kind, left.actor) == ("member_left", f"user:{bob.id}")
    bob.token = await initech.deployment.token(bob.id)
    id = f"{initech.id}-b"
    made = await bob.ask("POST", "/v1/organizations", json={"id": id, "name": "B"})
    founded = (await initech.deployment.events(id))[-1]
    assert (founded.kind, founded.request_id) == (
        "organization_created",
        made.headers["X-Request-Id"],
    )


async def test_an_event_of_an_operator_contains_the_hash_of_the_reason(
    acme: Organization,
) -> None:
    created, granted = await acme.events()
    assert [created.kind, granted.kind] == ["organization_created", "administrator_granted"]
    assert {created.channel, granted.channel} == {"operator"}
    assert granted.reason_hash is not None
    assert created.reason_hash is None


Refusal = Callable[[Organization, Person], Awaitable[httpx.Response]]

REFUSALS: dict[str, Refusal] = {
    "missing_permission": lambda acme, bob: acme.invite("eve", ["support"], by=bob),
    "operator_only_role": lambda acme, bob: acme.change_roles(bob, "administrator"),
}


@pytest.mark.parametrize("code", REFUSALS)
async def test_a_refusal_is_an_event_with_the_actor_and_the_route(
    acme: Organization, code: str
) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]

    answer = await REFUSALS[code](acme, bob)

    refused(answer, 403, code)
    reported = await only_event_of(acme, answer)
    assert (reported.kind, reported.chain) == ("refused", acme.id)
    assert reported.details["code"] == code
    assert reported.details["method"] in ("POST", "PUT")
    assert reported.details["route"].startswith("/v1/organizations/{organization")


async def test_a_request_about_a_foreign_organization_is_an_event_that_this_organization_does_not_see(
    acme: Organization, globex: Organization
) -> None:
    before = len(await globex.events())

    answer = await acme.administrator.ask("GET", f"{globex.path}/members")

    reported = await only_event_of(acme, answer)
    assert (reported.chain, reported.kind) == (Event.PLATFORM, "refused")
    assert reported.actor == f"user:{acme.administrator.id}"
    assert reported.details["facts"] == {"organization": globex.id}
    assert len(await globex.events()) == before


async def test_the_use_of_an_ended_session_is_an_event(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    out = await only_event_of(acme, await bob.ask("POST", "/v1/me/sign-out"))
    assert (out.kind, out.actor) == ("signed_out", f"user:{bob.id}")

    answer = await bob.ask("GET", "/v1/me")

    refused(answer, 401, "invalid_token")
    reported = await only_event_of(acme, answer)
    assert (reported.kind, reported.actor) == ("sign_in_refused", f"user:{bob.id}")


async def test_the_chains_of_events_are_unbroken(
    acme: Organization, owner_connection: Connection
) -> None:
    """All tests share the chain of the platform, so what this test adds to it is verified."""
    before = (await acme.deployment.events(Event.PLATFORM))[-1].position
    for name in ("bob", "eve"):
        await acme.member(name, roles=["support"])
    await acme.people["eve"].ask("POST", "/v1/me/sign-out")
    await acme.remove(acme.people["bob"])

    assert (await acme.deployment.events(Event.PLATFORM))[-1].position > before
    on_platform = await broken_events(owner_connection, Event.PLATFORM)
    assert [position for position in on_platform if position > before] == []
    assert await broken_events(owner_connection, acme.id) == []


async def test_an_event_contains_only_ids(acme: Organization) -> None:
    before = len(await acme.deployment.events(Event.PLATFORM))
    await acme.member("bob", roles=["support"])
    for reported in [
        *await acme.events(),
        *(await acme.deployment.events(Event.PLATFORM))[before:],
    ]:
        assert re.fullmatch(
            r"(user|operator):[\w.-]+( (via|invited by) user:[\w-]+)?|anonymous|system",
            reported.actor,
        )
        assert reported.subject is None or IDS.fullmatch(reported.subject)
        assert "@" not in str(reported.details)
        assert reported.request_id
