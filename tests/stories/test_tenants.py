"""Objects of other tenants are 404, like ids that do not exist.

Suspended members get 404 for everything.
"""

import re
import secrets
from typing import Any

import httpx
import pytest

from teamaccess.directory.organizations.create import create_organization
from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.responses import refused

VALID_REQUESTS: list[tuple[str, str, Any]] = [
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
    """An answer without ids and without what differs between requests."""
    text = answer.text
    for name in names:
        text = text.replace(name, "*")
    varying = ("x-request-id", "date", "content-length")
    headers = [(name, value) for name, value in answer.headers.items() if name not in varying]
    return answer.status_code, text, headers


async def ask(
    person: Person, organization: Organization, request: tuple[str, str, Any], id: str
) -> httpx.Response:
    """Send a request about the organization with this id, and about the members of `organization`."""
    method, path, body = request
    invitation = organization.people["guest"].id
    path = path.format(user=organization.administrator.id, invitation=invitation)
    more = {"headers": {"Idempotency-Key": "x" * 300}} if body is None else {"json": body}
    return await person.ask(method, f"/v1/organizations/{id}{path}", **more)


@pytest.fixture(scope="module")
async def others(fintoc: Deployment) -> Organization:
    """Another tenant, with an invitation and a suspended administrator."""
    globex = await fintoc.create_organization("globex")
    invited = await globex.invite("guest", ["support"])
    globex.people["guest"] = Person(globex.deployment, invited.json()["id"], "", "")
    await globex.add_members({"sue": ["administrator"]}, suspended=["sue"])
    return globex


@pytest.fixture(scope="module")
async def outsider(fintoc: Deployment) -> Person:
    """An administrator of another organization."""
    return (await fintoc.create_organization("acme")).administrator


@pytest.mark.parametrize(
    "wanted", VALID_REQUESTS, ids=lambda wanted: f"{wanted[0]} {wanted[1]} {wanted[2]}"
)
async def test_ids_of_other_tenants_look_like_ids_that_do_not_exist(
    outsider: Person, others: Organization, wanted: tuple[str, str, Any]
) -> None:
    nowhere = f"globex-{secrets.token_hex(4)}"
    before = await others.ledger()

    for person in (outsider, others.people["sue"]):
        foreign = await ask(person, others, wanted, others.id)
        missing = await ask(person, others, wanted, nowhere)
        assert foreign.status_code == 404
        assert shape(foreign, others.id) == shape(missing, nowhere)
        refused(foreign, 404, "unknown_organization")
    assert await others.ledger() == before


async def test_an_idempotency_key_used_elsewhere_does_not_reveal_that_an_organization_exists(
    acme: Organization, others: Organization
) -> None:
    key = {"Idempotency-Key": "the same for everything"}
    body = {"email": acme.address("bob"), "roles": ["support"]}
    ana = acme.administrator
    await ana.ask("POST", f"{acme.path}/invitations", json=body, headers=key)

    there = await ana.ask("POST", f"{others.path}/invitations", json=body, headers=key)

    refused(there, 404, "unknown_organization")


async def test_members_and_invitations_of_other_tenants_are_not_found(
    acme: Organization, others: Organization
) -> None:
    ana, invitation = acme.administrator, others.people["guest"].id
    for method, path in (
        ("GET", f"/members/{others.administrator.id}"),
        ("DELETE", f"/members/{others.administrator.id}"),
        ("POST", f"/members/{others.administrator.id}/suspend"),
        ("POST", f"/members/{others.administrator.id}/reactivate"),
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


async def test_a_tenant_whose_id_begins_with_anothers_is_separate(
    acme: Organization,
) -> None:
    async with acme.deployment.operator() as change:
        await create_organization(change, f"{acme.id}2", "Acme the second", founder=None)

    answer = await acme.administrator.ask("GET", f"{acme.path}2")

    refused(answer, 404, "unknown_organization")
    assert not await acme.deployment.check(f"{acme.id}2", acme.administrator.id, "membership")


async def test_suspended_members_see_nothing_there_and_their_other_organizations_as_before(
    acme: Organization, globex: Organization
) -> None:
    bob = await acme.member("bob", roles=["developer"])
    body = {"email": bob.email, "roles": ["support"]}
    await globex.administrator.ask("POST", f"{globex.path}/invitations", json=body)
    secret = globex.deployment.invitation_token(bob.email)
    await bob.ask("POST", "/v1/invitations/accept", json={"token": secret})

    await acme.suspend(bob)

    refused(await bob.ask("GET", acme.path), 404, "unknown_organization")
    assert (await bob.ask("GET", globex.path)).status_code == 200
    refused(await bob.ask("POST", f"{acme.path}/leave"), 404, "unknown_organization")
