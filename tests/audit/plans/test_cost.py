"""A plan asks few questions, and many changes of one kind take few statements."""

from typing import Any

import pytest

from tests.support.counted_work import Work, counted
from tests.support.organization import Organization
from tests.support.teams import Team

FEW, MANY = 5, 40
"""Changes of the plans that are compared."""


async def cost_of(
    acme: Organization, changes: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> Work:
    """Return what the plan of these changes cost. Two sandboxes answer it."""
    with counted(acme.deployment, monkeypatch) as work:
        path = f"{acme.path}/audit/plan"
        planned = await acme.administrator.ask("POST", path, json={"changes": changes})
    assert planned.status_code == 200, planned.text
    assert planned.json()["items"]
    return work


async def test_actions_that_the_same_roles_give_are_asked_about_once(
    acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    kim = (await acme.add_members({"kim": ["support"]}))["kim"]
    suspended = [{"change": "suspend", "user": kim.id}]
    work = await cost_of(acme, suspended, monkeypatch)
    catalog = acme.deployment.service.catalog
    assert work.questions < len(catalog.permissions)
    planned = await acme.administrator.ask(
        "POST", f"{acme.path}/audit/plan", json={"changes": suspended}
    )
    [item] = planned.json()["items"]
    loses = {each["action"] for each in item["loses"] if each["resource"] is None}
    assert loses == catalog.actions_of(["support"])


async def test_more_places_in_teams_take_no_more_statements(
    acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = await acme.add_members({f"p{number}": [] for number in range(MANY)})
    await Team.create(acme, "pay", "support")
    places = [
        {"change": "put_in_team", "team": "pay", "user": person.id} for person in people.values()
    ]
    few, many = [await cost_of(acme, places[:count], monkeypatch) for count in (FEW, MANY)]
    assert len(many.statements) <= len(few.statements)
    assert many.questions <= few.questions


async def test_a_refused_place_among_many_is_named(acme: Organization) -> None:
    people = await acme.add_members({"kim": [], "lou": []})
    await Team.create(acme, "pay", "support")
    users = [people["kim"].id, people["lou"].id, "nobody"]
    places = [{"change": "put_in_team", "team": "pay", "user": user} for user in users]
    renamed = {"change": "rename_organization", "name": "Acme again"}
    refused = await acme.administrator.ask(
        "POST", f"{acme.path}/audit/plan", json={"changes": [renamed, *places]}
    )
    assert refused.status_code == 404
    assert refused.json()["detail"].startswith("Item 4: ")
