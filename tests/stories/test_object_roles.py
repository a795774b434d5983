"""A role on one object, such as editor of a source: a bundle of the actions of its type."""

from datetime import timedelta

import pytest

from tests.support.agreement import assert_agreement
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.resources import (
    add_resources,
    add_team,
    get_grants,
    grant_to,
    role_to,
    set_grants,
)
from tests.support.responses import refused

SOURCE = "source:s_1"


@pytest.fixture
async def people(initech: Organization) -> dict[str, Person]:
    """Sue and Wes without roles, Wes in the team feeds, and reg, who registers and only views."""
    found = await initech.add_members({"sue": [], "wes": [], "reg": []})
    await add_team(initech, "feeds", found["wes"])
    await initech.add_custom_role(
        "registrar", "resources_register", "sources_view", holders=[found["reg"]]
    )
    await add_resources(initech, SOURCE, "source:s_2")
    return found


async def test_an_editor_may_do_all_of_the_roles_actions_to_one_object(
    initech: Organization, people: dict[str, Person]
) -> None:
    sue, wes = people["sue"], people["wes"]
    end = (await initech.deployment.service.now() + timedelta(days=1)).replace(microsecond=0)
    wanted = [role_to(sue, "editor"), role_to("feeds", "editor", expires_at=end.isoformat())]

    answer = await set_grants(initech, SOURCE, *wanted)

    assert answer.status_code == 200, answer.text
    assert (await initech.ledger())[-1] == [
        (
            f"TOUCH source:{initech.id}/s_1#granted_editor@team:{initech.id}/feeds#member"
            f"[expiration:{end:%Y-%m-%dT%H:%M:%SZ}]"
        ),
        f"TOUCH source:{initech.id}/s_1#granted_editor@user:{sue.id}",
    ]
    for person in (sue, wes):
        for action in ("view", "manage"):
            assert await initech.can(person, action, on=SOURCE)
            assert not await initech.can(person, action, on="source:s_2")
    shown = (await get_grants(initech, SOURCE)).json()["grants"]
    assert [(each["role"], each["action"], each["actions"]) for each in shown] == [
        ("editor", None, ["manage", "view"])
    ] * 2
    event = (await initech.events())[-1]
    assert event.details["after"][-1] == f"editor user:{sue.id}"
    await assert_agreement(initech)


async def test_an_editor_loses_everything_with_the_role_or_the_membership(
    initech: Organization, people: dict[str, Person]
) -> None:
    sue, wes = people["sue"], people["wes"]
    await set_grants(initech, SOURCE, role_to(sue, "editor"), role_to("feeds", "editor"))
    changed = await set_grants(initech, SOURCE, grant_to(sue, "view"), role_to("feeds", "editor"))
    assert await initech.can(sue, "view", on=SOURCE, at=changed.headers["Zed-Token"])
    assert not await initech.can(sue, "manage", on=SOURCE)
    await initech.remove(wes)
    assert not await initech.can(wes, "manage", on=SOURCE)
    await assert_agreement(initech)


async def test_members_grant_a_role_only_if_they_may_do_all_of_it(
    initech: Organization, people: dict[str, Person]
) -> None:
    reg, sue = people["reg"], people["sue"]
    answer = await set_grants(initech, SOURCE, role_to(sue, "editor"), by=reg)
    assert refused(answer, 403, "grant_beyond_giver")["missing"] == ["manage"]
    await set_grants(initech, SOURCE, role_to(sue, "editor"))
    answer = await set_grants(initech, SOURCE, by=reg)
    assert refused(answer, 403, "grant_above_actor")["missing"] == ["manage"]
    await set_grants(initech, SOURCE, role_to(sue, "editor"), role_to(reg, "editor"))
    assert (await set_grants(initech, SOURCE, role_to(reg, "editor"), by=reg)).is_success


async def test_a_role_on_an_object_counts_for_rank(
    initech: Organization, people: dict[str, Person]
) -> None:
    [stu] = (await initech.add_members({"stu": []})).values()
    await initech.add_custom_role("steward", "members_remove", holders=[stu])
    await set_grants(initech, SOURCE, role_to(people["sue"], "editor"))
    answer = await initech.suspend(people["sue"], by=stu)
    missing = refused(answer, 403, "member_above_actor")["missing"]
    assert missing == ["sources_manage", "sources_view"]


async def test_a_grant_names_one_action_or_one_role_of_the_type(
    initech: Organization, people: dict[str, Person]
) -> None:
    sue = people["sue"]
    before = await initech.ledger()
    unknown = refused(
        await set_grants(initech, SOURCE, role_to(sue, "owner")), 400, "unknown_object_role"
    )
    assert unknown["roles"] == ["editor"]
    for wrong in (role_to(sue, "manage"), grant_to(sue, "editor")):
        code = "unknown_object_role" if "role" in wrong else "unknown_action"
        refused(await set_grants(initech, SOURCE, wrong), 400, code)
    for wrong in ({"user": sue.id}, {**role_to(sue, "editor"), "action": "view"}):
        refused(await set_grants(initech, SOURCE, wrong), 400, "invalid_request")
    twice = role_to(sue, "editor")
    refused(await set_grants(initech, SOURCE, twice, twice), 400, "grant_twice")
    assert await initech.ledger() == before


async def test_why_and_what_can_name_the_role_on_the_object(
    initech: Organization, people: dict[str, Person]
) -> None:
    sue, wes = people["sue"], people["wes"]
    await set_grants(initech, SOURCE, role_to(sue, "editor"), role_to("feeds", "editor"))
    audit, ask = f"{initech.path}/audit", initech.administrator.ask
    why = await ask("GET", f"{audit}/why?user={wes.id}&action=manage&resource={SOURCE}")
    [path] = why.json()["paths"]
    assert (path["role"], path["on_object"], path["team"]) == ("editor", True, "feeds")
    found = (await ask("GET", f"{audit}/what-can?user={sue.id}")).json()
    assert [(each["action"], each["paths"][0]["role"]) for each in found["items"]] == [
        ("view", "editor"),
        ("manage", "editor"),
    ]
    assert found["evidence"]["unexplained"] == found["evidence"]["missing"] == 0
    await set_grants(initech, SOURCE)
    why = await ask("GET", f"{audit}/why?user={sue.id}&action=manage&resource={SOURCE}")
    assert why.json()["obstacle"]["code"] == "ended"
