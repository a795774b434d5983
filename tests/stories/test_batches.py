"""Many grants, or many places in teams, in one request: one change, one position, all or none."""

from typing import Any

import httpx
import pytest

from teamaccess.engine import Engine, Question
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.resources import add_resources, get_grants, grant_to, set_grants
from tests.support.responses import refused
from tests.support.teams import Team


async def batch(
    organization: Organization, name: str, *items: dict[str, Any], by: Person | None = None
) -> httpx.Response:
    """Send a batch."""
    caller = by or organization.administrator
    return await caller.ask("POST", f"{organization.path}/{name}:batch", json={"items": items})


def grant(object: str, who: Person | str, operation: str = "grant", **more: Any) -> dict[str, Any]:
    """One grant of a batch."""
    type, _, id = object.partition(":")
    return {"operation": operation, "type": type, "id": id, **grant_to(who, "edit"), **more}


def place(team: str, user: str, operation: str = "put") -> dict[str, Any]:
    """One place of a batch."""
    return {"operation": operation, "team": team, "user": user}


async def test_many_grants_are_changed_at_one_position(acme: Organization) -> None:
    people = await acme.add_members({"bob": [], "eve": []})
    bob, eve = people["bob"], people["eve"]
    await Team.create(acme, "pay")
    names = [f"webhook:wh_{number}" for number in range(30)]
    await add_resources(acme, *names)
    (await set_grants(acme, names[0], grant_to(eve, "edit"))).raise_for_status()
    entries = len(await acme.ledger())
    removed = grant(names[0], eve, "remove")
    team, gone = grant(names[1], "pay"), grant(names[2], eve, "remove")

    answer = await batch(acme, "grants", *(grant(name, bob) for name in names), removed, team, gone)

    assert answer.status_code == 200, answer.text
    outcomes = [each["outcome"] for each in answer.json()["items"]]
    assert outcomes == ["granted"] * 30 + ["removed", "granted", "already_removed"]
    assert len(await acme.ledger()) == entries + 1
    assert answer.headers["Teamaccess-Change"] == f"{acme.id}:{entries + 1}"
    token = answer.headers["Zed-Token"]
    assert await acme.can(bob, "edit", on=names[29], at=token)
    assert not await acme.can(eve, "edit", on=names[0], at=token)
    again = await batch(acme, "grants", grant(names[0], bob), grant(names[0], eve, "remove"))
    assert [each["outcome"] for each in again.json()["items"]] == [
        "already_granted",
        "already_removed",
    ]
    assert len(await acme.ledger()) == entries + 1


async def test_a_batch_of_grants_is_refused_as_a_whole_and_names_the_item(
    acme: Organization,
) -> None:
    bob = (await acme.add_members({"bob": []}))["bob"]
    await add_resources(acme, "webhook:wh_1", "webhook:wh_2")
    good = grant("webhook:wh_1", bob)
    for bad, status, code in (
        (grant("webhook:wh_9", bob), 404, "unknown_resource"),
        (grant("webhook:wh_1", "no_team"), 404, "unknown_team"),
        (grant("webhook:wh_1", bob), 400, "grant_twice"),
        (grant("webhook:wh_2", bob) | {"action": "fly"}, 400, "unknown_action"),
        (grant("spaceship:s1", bob), 404, "unknown_resource_type"),
    ):
        problem = refused(await batch(acme, "grants", good, bad), status, code)
        assert problem["item"] == 2
        assert problem["detail"].startswith("Item 2: ")
    assert (await get_grants(acme, "webhook:wh_1")).json()["grants"] == []
    late = grant("webhook:wh_1", bob, "remove", expires_at="2099-01-01T00:00:00Z")
    refused(await batch(acme, "grants", late), 400, "invalid_request")
    refused(await batch(acme, "grants"), 400, "invalid_request")
    refused(await batch(acme, "grants", *[good] * 501), 400, "invalid_request")
    refused(await batch(acme, "grants", good, by=bob), 403, "missing_permission")


async def test_a_grant_of_a_batch_names_one_action_or_one_role(initech: Organization) -> None:
    sue = (await initech.add_members({"sue": []}))["sue"]
    await add_resources(initech, "source:s_1")
    base = {"operation": "grant", "type": "source", "id": "s_1", "user": sue.id}
    entries = len(await initech.ledger())
    for operation in ("grant", "remove"):
        item = {**base, "operation": operation}
        for ambiguous in (item, item | {"action": "view", "role": "editor"}):
            answer = await batch(initech, "grants", ambiguous)
            refused(answer, 400, "invalid_request")
            assert "A grant must have either `action` or `role`" in answer.text
        as_role = await batch(initech, "grants", item | {"role": "view"})
        assert refused(as_role, 400, "unknown_object_role")["item"] == 1
        as_action = await batch(initech, "grants", item | {"action": "editor"})
        assert refused(as_action, 400, "unknown_action")["item"] == 1
    assert len(await initech.ledger()) == entries
    given = await batch(initech, "grants", base | {"role": "editor"}, base | {"action": "view"})
    assert [(each["role"], each["action"], each["outcome"]) for each in given.json()["items"]] == [
        ("editor", None, "granted"),
        (None, "view", "granted"),
    ]
    assert await initech.can(sue, "manage", on="source:s_1", at=given.headers["Zed-Token"])


async def test_many_places_in_teams_are_changed_at_one_position(acme: Organization) -> None:
    people = await acme.add_members({f"p{number}": [] for number in range(40)})
    await Team.create(acme, "pay", "support")
    ship = await Team.create(acme, "ship")
    (await ship.add_member(people["p0"])).raise_for_status()
    entries = len(await acme.ledger())
    items = [place("pay", each.email) for each in people.values()]
    ends = [place("ship", people["p0"].id, "remove"), place("ship", people["p1"].id, "remove")]

    answer = await batch(acme, "team-members", *items, *ends)

    assert answer.status_code == 200, answer.text
    outcomes = [each["outcome"] for each in answer.json()["items"]]
    assert outcomes == ["put"] * 40 + ["removed", "already_removed"]
    assert answer.json()["items"][0]["user"] == people["p0"].id
    assert len(await acme.ledger()) == entries + 1
    assert await acme.can(people["p39"], "refunds_create", at=answer.headers["Zed-Token"])


async def test_a_batch_of_places_is_refused_as_a_whole_and_names_the_item(
    acme: Organization,
) -> None:
    bob = (await acme.add_members({"bob": []}))["bob"]
    await Team.create(acme, "pay")
    entries = len(await acme.ledger())
    good = place("pay", bob.id)
    for bad, status, code in (
        (place("pay", "nobody@example.com"), 404, "unknown_member"),
        (place("none", bob.id), 404, "unknown_team"),
        (place("none", bob.id, "remove"), 404, "unknown_team"),
        (place("pay", bob.email), 400, "place_twice"),
    ):
        problem = refused(await batch(acme, "team-members", good, bad), status, code)
        assert problem["item"] == 2
    assert len(await acme.ledger()) == entries
    refused(await batch(acme, "team-members", good, by=bob), 403, "missing_permission")


async def test_a_batch_of_objects_and_a_plan_name_the_refused_item(acme: Organization) -> None:
    items = [
        {"operation": "register", "type": "webhook", "id": "wh_1"},
        {"operation": "remove", "type": "webhook", "id": "never"},
    ]
    problem = refused(await batch(acme, "resources", *items), 404, "unknown_resource")
    assert problem["item"] == 2
    changes = [
        {"change": "create_team", "team": "pay"},
        {"change": "put_in_team", "team": "pay", "user": "nobody"},
    ]
    body = {"changes": changes}
    planned = await acme.administrator.ask("POST", f"{acme.path}/audit/plan", json=body)
    assert refused(planned, 404, "unknown_member")["item"] == 2


async def test_many_grants_take_no_question_to_spicedb_for_each_object(
    acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = (await acme.add_members({"bob": []}))["bob"]
    names = [f"webhook:wh_{number}" for number in range(60)]
    await add_resources(acme, *names)
    asked: list[Question] = []
    answers = Engine.answers

    async def counting(self: Engine, questions: list[Question], *at: Any) -> list[bool]:
        asked.extend(questions)
        return await answers(self, questions, *at)

    monkeypatch.setattr(Engine, "answers", counting)
    (await batch(acme, "grants", *(grant(name, bob) for name in names))).raise_for_status()
    assert len(asked) < 30
