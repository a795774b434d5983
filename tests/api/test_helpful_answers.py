"""Refusals that say what was found and what would be accepted, and bodies that may be short."""

import pytest

from tests.api.requests import VALID_REQUESTS, RequestTargets, Route, routes
from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.responses import refused
from tests.support.teams import Team

WITH_BODY = sorted((route for route in routes() if VALID_REQUESTS[route].body is not None), key=str)


async def test_roles_may_be_written_as_their_ids_wherever_roles_are_set(acme: Organization) -> None:
    ana, bob = acme.administrator, await acme.member("bob", roles=["support"])
    team = await Team.create(acme, "pay")
    for path in (f"{acme.path}/members/{bob.id}/roles", f"{team.path}/roles"):
        answer = await ana.ask("PUT", path, json={"roles": ["product"]})
        assert answer.status_code == 200, answer.text
        held = [each["role"] for each in answer.json()["roles"]]
        assert held == ["product"]
        mixed = {"roles": ["product", {"role": "developer"}]}
        assert (await ana.ask("PUT", path, json=mixed)).status_code == 200
        twice = await ana.ask("PUT", path, json={"roles": ["product", {"role": "product"}]})
        refused(twice, 400, "role_twice")


async def test_decisions_and_rotations_need_no_body(acme: Organization) -> None:
    bob = await acme.member("bob", roles=["product"])
    ana, path = acme.administrator, f"{acme.path}/access-requests"
    for decision, status in (("approve", "approved"), ("decline", "declined")):
        wanted = {"role": "support", "reason": "Refunds", "duration_hours": 1}
        request = (await bob.ask("POST", path, json=wanted)).json()["id"]
        answer = await ana.ask("POST", f"{path}/{request}/{decision}")
        assert (answer.status_code, answer.json()["status"]) == (200, status), answer.text
    account = await acme.add_service_account("support")
    token = await account.create_token()
    tokens = f"{acme.path}/service-accounts/{account.id}/tokens"
    assert (await ana.ask("POST", f"{tokens}/{token['id']}/rotate")).status_code == 201


@pytest.mark.parametrize("route", WITH_BODY, ids=str)
async def test_a_missing_body_is_named(fintoc: Deployment, route: Route) -> None:
    targets = await RequestTargets.create(await fintoc.create_organization("acme"))
    by = targets.organization.administrator
    if VALID_REQUESTS[route].operators:
        by = await fintoc.operator_person()
    answer = await targets.ask(route, by, json=None, content=b"")
    assert answer.status_code < 500
    if answer.status_code == 400:
        problem = answer.json()
        assert problem["detail"] == "This request needs a JSON body.", problem
        assert "'data'" not in answer.text


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("members?status=open", "active, suspended"),
        ("invitations?status=open", "pending, expired, accepted, cancelled"),
        ("access-requests?status=open", "pending, approved, declined, withdrawn"),
        ("audit/matrix?basis=both", "decided, enforced"),
    ],
)
async def test_a_query_value_that_is_not_allowed_is_answered_with_those_that_are(
    acme: Organization, path: str, allowed: str
) -> None:
    answer = await acme.administrator.ask("GET", f"{acme.path}/{path}")
    problem = refused(answer, 400, "invalid_request")
    [mistake] = problem["errors"]
    assert "Use one of: " in mistake["message"]
    assert allowed in mistake["message"]
    assert mistake["source"] == "query"


async def test_a_value_in_a_body_that_is_not_allowed_is_answered_with_those_that_are(
    acme: Organization,
) -> None:
    ana = acme.administrator
    selector = {"resource": "webhooks", "level": "edit"}
    role = {"id": "hooks", "name": "Hooks", "actions": ["links_access", selector]}
    answer = await ana.ask("POST", f"{acme.path}/roles", json=role)
    [mistake] = refused(answer, 400, "invalid_request")["errors"]
    assert mistake == {
        "message": "Invalid enum value 'edit'. Use one of: authorize, manage, view.",
        "key": "actions[1].level",
        "source": "body",
    }
    plan = {"changes": [{"change": "promote", "user": "x"}]}
    answer = await ana.ask("POST", f"{acme.path}/audit/plan", json=plan)
    [mistake] = refused(answer, 400, "invalid_request")["errors"]
    assert "Use one of: add_member, set_roles, " in mistake["message"]
    assert "take_from_team" in mistake["message"]


async def test_one_thing_is_named_in_the_singular(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    await acme.add_custom_role("till", "refunds_create", holders=[bob])
    answer = await acme.administrator.ask("DELETE", f"{acme.path}/roles/till")
    problem = refused(answer, 409, "role_in_use")
    assert "by 1 member, 0 teams, 0 invitations and 0 access requests." in problem["detail"]
    assert problem["members"] == 1
