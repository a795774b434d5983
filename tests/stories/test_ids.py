"""Ids: what they may have, and what a refusal says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teamaccess.storage import is_local_id, is_organization_id, is_role_id
from teamaccess.storage.base import suggest_local_id, suggest_organization_id, suggest_role_id
from tests.support.organization import Organization
from tests.support.resources import grant_to, register_resource, set_grants
from tests.support.responses import refused

LONG = "x" * 128


async def test_ids_of_teams_and_objects_have_up_to_128_characters(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": []}))["bob"]
    ana, team = acme.administrator, f"{acme.path}/teams/{LONG}"
    made = await ana.ask("POST", f"{acme.path}/teams", json={"id": LONG, "name": "Long"})
    assert made.status_code == 201, made.text
    roles = {"roles": [{"role": "support"}]}
    (await ana.ask("PUT", f"{team}/roles", json=roles)).raise_for_status()
    (await ana.ask("PUT", f"{team}/members/{bob.id}")).raise_for_status()
    assert await acme.can(bob, "refunds_create")
    assert (await register_resource(acme, f"webhook:{LONG}")).status_code == 200
    granted = await set_grants(acme, f"webhook:{LONG}", grant_to(LONG, "edit"))
    assert granted.status_code == 200, granted.text
    assert await acme.can(bob, "edit", on=f"webhook:{LONG}")


@pytest.mark.parametrize(
    ("id", "example"),
    [("crates.io", "crates-io"), ("a/b c", "a-b-c"), (".", "id-1"), ("é.com", "com")],
)
async def test_a_refused_id_is_answered_with_the_reason_and_an_id_that_works(
    acme: Organization, id: str, example: str
) -> None:
    made = await acme.administrator.ask("POST", f"{acme.path}/teams", json={"id": id, "name": id})
    problem = refused(made, 400, "invalid_team_id")
    assert problem["example"] == example
    assert "SpiceDB takes no dots" in problem["detail"]
    again = {"id": example, "name": id}
    assert (await acme.administrator.ask("POST", f"{acme.path}/teams", json=again)).is_success
    item = {"operation": "register", "type": "webhook", "id": id}
    batch = await acme.administrator.ask(
        "POST", f"{acme.path}/resources:batch", json={"items": [item]}
    )
    assert refused(batch, 400, "invalid_resource_id")["example"] == example


@pytest.mark.parametrize(
    ("id", "example"),
    [
        ("Refund-Clerk", "refund_clerk"),
        ("trésorier.paris", "tresorier_paris"),
        ("ab", "role_ab"),
        ("2nd_line", "role_2nd_line"),
        ("経理", "role_1"),
        ("_" + "x" * 62 + "_", "x" * 62),
        ("Support", "support_own"),
        ("Links Edit", "links_edit_own"),
    ],
)
async def test_a_refused_role_id_is_answered_with_the_reason_and_an_id_that_works(
    acme: Organization, id: str, example: str
) -> None:
    ana, body = acme.administrator, {"id": id, "name": "Own", "actions": ["refunds_create"]}
    problem = refused(
        await ana.ask("POST", f"{acme.path}/roles", json=body), 400, "invalid_role_id"
    )
    assert problem["example"] == example
    assert "SpiceDB takes" in problem["detail"]
    made = await ana.ask("POST", f"{acme.path}/roles", json={**body, "id": example})
    assert made.status_code == 201, made.text


@pytest.mark.parametrize(
    ("id", "example"),
    [
        ("Acme {} Inc.", "acme-{}-inc"),
        ("café_{}", "cafe-{}"),
        ("../{}", "{}"),
        ("A/B", "a-b"),
        ("Ö.!", "org-o"),
        ("経理部", "org-1"),
    ],
)
async def test_a_refused_organization_id_is_answered_with_the_reason_and_an_id_that_works(
    initech: Organization, id: str, example: str
) -> None:
    body = {"id": id.format(initech.id), "name": "Another"}
    founded = await initech.administrator.ask("POST", "/v1/organizations", json=body)
    problem = refused(founded, 400, "invalid_organization_id")
    assert problem["example"] == example.format(initech.id)
    assert "part of URLs and of SpiceDB's ids" in problem["detail"]
    assert is_organization_id(problem["example"])


@given(st.text(max_size=100))
def test_every_suggested_id_is_valid(text: str) -> None:
    assert is_organization_id(suggest_organization_id(text))
    assert is_role_id(suggest_role_id(text))
    assert is_local_id(suggest_local_id(text))


@pytest.mark.parametrize(
    ("id", "because"),
    [
        ("refunds_create", "the catalog has an action with this id"),
        ("support", "the catalog has a role with this id"),
        ("member", "the schema of every organization uses it"),
        ("none", "it stands for no role"),
    ],
)
async def test_a_reserved_role_id_is_refused_with_the_reason_and_an_id_that_works(
    acme: Organization, id: str, because: str
) -> None:
    body = {"id": id, "name": "Own", "actions": ["refunds_create"]}
    problem = refused(
        await acme.administrator.ask("POST", f"{acme.path}/roles", json=body),
        409,
        "role_id_reserved",
    )
    assert because in problem["detail"]
    made = await acme.administrator.ask(
        "POST", f"{acme.path}/roles", json={**body, "id": problem["example"]}
    )
    assert made.status_code == 201, made.text
