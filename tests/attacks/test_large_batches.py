"""A batch holds its organization's lock for a short time, even if it is refused."""

from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from teamaccess.changes import time_limit
from tests.support.counted_work import counted
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.resources import add_resources
from tests.support.responses import refused
from tests.support.teams import Team

FEW, MANY = 5, 40
"""Items of the batches that are compared."""


async def grant(acme: Organization, by: Person, items: Sequence[dict[str, Any]]) -> httpx.Response:
    """Send a batch of grants."""
    return await by.ask("POST", f"{acme.path}/grants:batch", json={"items": items})


async def registrar(acme: Organization, *actions: str) -> Person:
    """A member who changes grants, with these further actions."""
    reg = (await acme.add_members({"reg": []}))["reg"]
    await acme.add_custom_role("registrar", "resources_register", *actions, holders=[reg])
    return reg


def on(number: int, user: str, operation: str = "grant", action: str = "edit") -> dict[str, Any]:
    """An item about one webhook."""
    return {
        "operation": operation,
        "type": "webhook",
        "id": f"wh_{number}",
        "action": action,
        "user": user,
    }


@pytest.mark.parametrize("everywhere", [True, False])
async def test_more_grants_take_no_more_statements_and_questions(
    acme: Organization, monkeypatch: pytest.MonkeyPatch, everywhere: bool
) -> None:
    reg = await registrar(acme, *(["webhooks_edit"] if everywhere else []))
    bob = (await acme.add_members({"bob": []}))["bob"]
    await add_resources(acme, *(f"webhook:wh_{n}" for n in range(FEW + MANY)))
    if not everywhere:
        given = [on(n, reg.id) for n in range(FEW + MANY)]
        (await grant(acme, acme.administrator, given)).raise_for_status()
    costs = []
    for numbers in (range(FEW), range(FEW, FEW + MANY)):
        for operation in ("grant", "remove"):
            with counted(acme.deployment, monkeypatch) as work:
                items = [on(n, bob.id, operation) for n in numbers]
                (await grant(acme, reg, items)).raise_for_status()
            costs.append((len(work.statements), work.calls))
    few, many = costs[:2], costs[2:]
    for (statements, calls), (more_statements, more_calls) in zip(few, many, strict=True):
        assert more_statements <= statements + 2
        assert more_calls <= calls + 1


async def test_the_refused_item_is_found_without_repeating_the_work(
    acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    reg = await registrar(acme, "webhooks_edit")
    people = await acme.add_members({f"p{n}": [] for n in range(MANY)})
    await add_resources(acme, "webhook:wh_1")
    ids = [each.id for each in people.values()]
    costs = []
    for part in (ids[:FEW], ids):
        removes = [on(1, id, "remove") for id in part[:-1]]
        with counted(acme.deployment, monkeypatch) as work:
            answer = await grant(acme, reg, [*removes, on(1, part[-1], action="delete")])
        problem = refused(answer, 403, "grant_beyond_giver")
        assert problem["item"] == len(part)
        costs.append((len(work.statements), work.calls))
    assert costs[1][0] <= costs[0][0] + 2
    assert costs[1][1] <= costs[0][1] + 1


async def test_more_places_take_no_more_statements_and_questions(
    acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = await acme.add_members({f"p{n}": [] for n in range(FEW + MANY)})
    await Team.create(acme, "pay", "support")
    ids = [each.id for each in people.values()]
    costs = []
    for part in (ids[:FEW], ids[FEW:]):
        for operation in ("put", "remove"):
            items = [{"operation": operation, "team": "pay", "user": id} for id in part]
            with counted(acme.deployment, monkeypatch) as work:
                answer = await acme.administrator.ask(
                    "POST", f"{acme.path}/team-members:batch", json={"items": items}
                )
                answer.raise_for_status()
            costs.append((len(work.statements), work.calls))
    few, many = costs[:2], costs[2:]
    for (statements, calls), (more_statements, more_calls) in zip(few, many, strict=True):
        assert more_statements <= statements + 2
        assert more_calls <= calls


@pytest.mark.parametrize(
    ("route", "item"),
    [
        ("grants:batch", on(1, "bob@{organization}.example")),
        ("team-members:batch", {"operation": "put", "team": "pay", "user": "bob@x.example"}),
        ("resources:batch", {"operation": "register", "type": "webhook", "id": "wh_2"}),
    ],
)
async def test_a_batch_has_the_time_limit_of_a_plan(
    acme: Organization, monkeypatch: pytest.MonkeyPatch, route: str, item: dict[str, Any]
) -> None:
    monkeypatch.setattr(time_limit, "LONGEST_SECONDS", 0)
    before = await acme.ledger()
    answer = await acme.administrator.ask("POST", f"{acme.path}/{route}", json={"items": [item]})
    refused(answer, 409, "plan_takes_too_long")
    assert await acme.ledger() == before


async def test_names_of_a_batch_take_one_statement(
    acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = await acme.add_members({f"p{n}": [] for n in range(MANY)})
    await Team.create(acme, "pay")
    costs = []
    for part in (list(people.values())[:FEW], list(people.values())):
        items = [{"operation": "put", "team": "pay", "user": each.email} for each in part]
        with counted(acme.deployment, monkeypatch) as work:
            answer = await acme.administrator.ask(
                "POST", f"{acme.path}/team-members:batch", json={"items": items}
            )
        answer.raise_for_status()
        assert [each["user"] for each in answer.json()["items"]] == [each.id for each in part]
        costs.append(len(work.statements))
    assert costs[1] <= costs[0] + 2
