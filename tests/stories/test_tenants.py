"""Other tenants' things are 404, exactly like what does not exist; to the suspended everything is."""

import re
import secrets
from typing import Any

import httpx
import pytest

from teamaccess.directory.organizations.create import create_organization
from tests.support.steps import enlist, refused
from tests.support.world import Person, Team, World

ASKS: list[tuple[str, str, Any]] = [
    ("GET", "", None),
    ("PATCH", "", {"name": "Mine"}),
    ("DELETE", "", None),
    ("GET", "/permissions", None),
    ("GET", "/members", None),
    ("GET", "/members?role=wizard&cursor=x", None),
    ("GET", "/members/{user}", None),
    ("PUT", "/members/{user}/roles", {"roles": [{"role": "support"}]}),
    ("PUT", "/members/{user}/roles", {"roles": [{"role": "wizard"}]}),
    ("PUT", "/members/{user}/roles", {"roles": [{"role": "support"}] * 2}),
    ("PUT", "/members/{user}/roles", {"roles": [], "reason": "\u0007"}),
    ("POST", "/members/{user}/suspend", None),
    ("POST", "/members/{user}/reactivate", None),
    ("DELETE", "/members/{user}", None),
    ("POST", "/leave", None),
    ("POST", "/invitations", {"email": "a@example.com", "roles": ["support"]}),
    ("POST", "/invitations", {"email": "nowhere", "roles": ["support"]}),
    ("POST", "/invitations", {"email": "a@example.com", "roles": ["wizard"]}),
    ("POST", "/invitations", {"email": "a@example.com", "roles": ["support"] * 2}),
    ("GET", "/invitations", None),
    ("GET", "/invitations?cursor=x", None),
    ("DELETE", "/invitations/{invitation}", None),
    ("POST", "/invitations/{invitation}/resend", None),
    ("GET", "/changes/1", None),
]


def shape(answer: httpx.Response, *names: str) -> tuple[int, str, list[tuple[str, str]]]:
    """An answer with the names in it taken out, and what differs from request to request."""
    text = answer.text
    for name in names:
        text = text.replace(name, "*")
    passing = ("x-request-id", "date", "content-length")
    headers = [(name, value) for name, value in answer.headers.items() if name not in passing]
    return answer.status_code, text, headers


async def ask(person: Person, team: Team, ask: tuple[str, str, Any], id: str) -> httpx.Response:
    """Ask of an organization what is asked of the team's."""
    method, path, body = ask
    invitation = team.people["guest"].id
    path = path.format(user=team.administrator.id, invitation=invitation)
    more = {"headers": {"Idempotency-Key": "x" * 300}} if body is None else {"json": body}
    return await person.ask(method, f"/v1/organizations/{id}{path}", **more)


@pytest.fixture(scope="module")
async def theirs(fintoc: World) -> Team:
    """Another tenant, with an invitation and a suspended administrator."""
    globex = await fintoc.create("globex")
    invited = await globex.invite("guest", ["support"])
    globex.people["guest"] = Person(globex.world, invited.json()["id"], "", "")
    await enlist(globex, {"sue": ["administrator"]}, suspended=["sue"])
    return globex


@pytest.fixture(scope="module")
async def outsider(fintoc: World) -> Person:
    """Who administers an organization of their own."""
    return (await fintoc.create("acme")).administrator


@pytest.mark.parametrize("wanted", ASKS, ids=lambda wanted: f"{wanted[0]} {wanted[1]} {wanted[2]}")
async def test_what_is_others_looks_like_what_does_not_exist(
    outsider: Person, theirs: Team, wanted: tuple[str, str, Any]
) -> None:
    nowhere = f"globex-{secrets.token_hex(4)}"
    before = await theirs.ledger()

    for person in (outsider, theirs.people["sue"]):
        foreign = await ask(person, theirs, wanted, theirs.id)
        missing = await ask(person, theirs, wanted, nowhere)
        assert foreign.status_code == 404
        assert shape(foreign, theirs.id) == shape(missing, nowhere)
        refused(foreign, 404, "unknown_organization")
    assert await theirs.ledger() == before


async def test_a_key_that_was_used_elsewhere_does_not_tell_that_an_organization_exists(
    acme: Team, theirs: Team
) -> None:
    key = {"Idempotency-Key": "the same for everything"}
    body = {"email": acme.address("bob"), "roles": ["support"]}
    ana = acme.administrator
    await ana.ask("POST", f"{acme.path}/invitations", json=body, headers=key)

    there = await ana.ask("POST", f"{theirs.path}/invitations", json=body, headers=key)

    refused(there, 404, "unknown_organization")


async def test_members_and_invitations_of_others_are_not_in_ones_own_organization(
    acme: Team, theirs: Team
) -> None:
    ana, invitation = acme.administrator, theirs.people["guest"].id
    for method, path in (
        ("GET", f"/members/{theirs.administrator.id}"),
        ("DELETE", f"/members/{theirs.administrator.id}"),
        ("POST", f"/members/{theirs.administrator.id}/suspend"),
        ("POST", f"/members/{theirs.administrator.id}/reactivate"),
        ("DELETE", f"/invitations/{invitation}"),
        ("POST", f"/invitations/{invitation}/resend"),
    ):
        foreign = await ana.ask(method, acme.path + path)
        made_up = re.sub("[0-9a-f]{20}", "0" * 20, path)
        missing = await ana.ask(method, acme.path + made_up)
        assert foreign.status_code == 404
        name = path.split("/")[2]
        assert shape(foreign, name) == shape(missing, made_up.split("/")[2])
    listed = (await ana.ask("GET", f"{acme.path}/invitations")).json()["items"]
    assert listed == []


async def test_the_id_of_another_tenant_that_begins_with_ones_own_is_another(acme: Team) -> None:
    async with acme.world.operator() as change:
        await create_organization(change, f"{acme.id}2", "Acme the second", founder=None)

    answer = await acme.administrator.ask("GET", f"{acme.path}2")

    refused(answer, 404, "unknown_organization")
    assert not await acme.world.check(f"{acme.id}2", acme.administrator.id, "membership")


async def test_the_suspended_see_nothing_and_their_other_organizations_as_before(
    acme: Team, globex: Team
) -> None:
    bob = await acme.member("bob", roles=["developer"])
    body = {"email": bob.email, "roles": ["support"]}
    await globex.administrator.ask("POST", f"{globex.path}/invitations", json=body)
    secret = globex.world.secret_for(bob.email)
    await bob.ask("POST", "/v1/invitations/accept", json={"token": secret})

    await acme.act("suspend", bob)

    refused(await bob.ask("GET", acme.path), 404, "unknown_organization")
    assert (await bob.ask("GET", globex.path)).status_code == 200
    refused(await bob.ask("POST", f"{acme.path}/leave"), 404, "unknown_organization")
