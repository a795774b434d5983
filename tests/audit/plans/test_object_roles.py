"""Plans of roles on one object, which the field `role` names, with the actions that they give."""

from typing import Any

import pytest

from tests.audit.plans.test_plan import gains_and_losses, make, plan
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.resources import add_resources, add_team, get_grants, role_to, set_grants
from tests.support.responses import refused

SOURCE = "source:s_1"


@pytest.fixture
async def people(initech: Organization) -> dict[str, Person]:
    """Sue and Wes without roles, Wes in the team feeds."""
    found = await initech.add_members({"sue": [], "wes": []})
    await add_team(initech, "feeds", found["wes"])
    await add_resources(initech, SOURCE)
    return found


async def test_a_plan_shows_what_a_role_on_an_object_gives_and_takes(
    initech: Organization, people: dict[str, Person]
) -> None:
    sue, wes = people["sue"], people["wes"]
    on = f"source:{initech.id}/s_1"
    actions = {f"view {on}", f"manage {on}"}
    given = [
        {"change": "grant", "object": SOURCE, **role_to(sue, "editor")},
        {"change": "grant", "object": SOURCE, **role_to("feeds", "editor")},
    ]
    planned = await plan(initech, *given)
    assert planned.status_code == 200, planned.text
    assert gains_and_losses(planned, sue) == gains_and_losses(planned, wes) == (actions, set())
    assert (await make(initech, planned.headers["ETag"], *given)).is_success
    shown = (await get_grants(initech, SOURCE)).json()["grants"]
    assert [(each["role"], each["action"]) for each in shown] == [("editor", None)] * 2

    narrower = [
        {"change": "remove_grant", "object": SOURCE, **role_to("feeds", "editor")},
        {
            "change": "set_grants",
            "object": SOURCE,
            "grants": [{"action": "view", "user": sue.email}, role_to("feeds", "editor")],
        },
        {"change": "remove_grant", "object": SOURCE, **role_to("feeds", "editor")},
    ]
    planned = await plan(initech, *narrower[:1])
    assert gains_and_losses(planned, wes) == (set(), actions)
    planned = await plan(initech, *narrower[1:])
    assert gains_and_losses(planned, sue) == (set(), {f"manage {on}"})
    assert gains_and_losses(planned, wes) == (set(), actions)
    assert (await make(initech, planned.headers["ETag"], *narrower[1:])).is_success
    assert await initech.can(sue, "view", on=SOURCE)
    assert not await initech.can(wes, "view", on=SOURCE)


async def test_a_plan_of_the_end_of_a_team_shows_its_role_on_an_object(
    initech: Organization, people: dict[str, Person]
) -> None:
    (await set_grants(initech, SOURCE, role_to("feeds", "editor"))).raise_for_status()
    planned = await plan(initech, {"change": "delete_team", "team": "feeds"})
    on = f"source:{initech.id}/s_1"
    assert gains_and_losses(planned, people["wes"]) == (set(), {f"view {on}", f"manage {on}"})


async def test_a_grant_of_a_plan_names_one_action_or_one_role(
    initech: Organization, people: dict[str, Person]
) -> None:
    sue = people["sue"]
    base: dict[str, Any] = {"object": SOURCE, "user": sue.id}
    (await set_grants(initech, SOURCE, role_to(sue, "editor"))).raise_for_status()
    for change in ("grant", "remove_grant"):
        for ambiguous in ({}, {"action": "view", "role": "editor"}):
            answer = await plan(initech, {"change": change, **base, **ambiguous})
            refused(answer, 400, "invalid_request")
            assert "A grant must have either `action` or `role`" in answer.text
        as_action = await plan(initech, {"change": change, **base, "action": "editor"})
        refused(as_action, 400, "unknown_action")
        as_role = await plan(initech, {"change": change, **base, "role": "view"})
        assert refused(as_role, 400, "unknown_object_role")["roles"] == ["editor"]
    listed = [{"user": sue.id, "action": "view", "role": "editor"}]
    answer = await plan(initech, {"change": "set_grants", "object": SOURCE, "grants": listed})
    refused(answer, 400, "invalid_request")
