"""A plan registers objects and grants access to them: the giver gives what they will hold there."""

from typing import Any

import pytest

from teamaccess.engine import Consistency, Engine, Question
from tests.audit.plans.test_plan import gains_and_losses, make, plan
from tests.support.agreement import assert_agreement
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.resources import (
    add_resources,
    get_grants,
    grant_to,
    register_resource,
    set_grants,
)
from tests.support.responses import refused
from tests.support.teams import Team


def register(object: str, creator: Person | None = None) -> dict[str, Any]:
    """The registration of an object."""
    named = {"creator": creator.id} if creator is not None else {}
    return {"change": "register_object", "object": object, **named}


def grant(object: str, action: str, who: Person | str, **more: Any) -> dict[str, Any]:
    """A grant on an object to a member, or to the team with that id."""
    return {"change": "grant", "object": object, **grant_to(who, action), **more}


@pytest.fixture
async def people(acme: Organization) -> dict[str, Person]:
    """Reg registers, plans and edits webhooks, and nothing else. Bob has no role."""
    found = await acme.add_members({"reg": [], "bob": [], "eve": []})
    held = ("resources_register", "audit_view", "webhooks_access", "webhooks_edit")
    await acme.add_custom_role("registrar", *held, holders=[found["reg"]])
    return found


async def test_an_administrator_grants_on_an_object_that_the_same_plan_registers(
    acme: Organization, people: dict[str, Person]
) -> None:
    bob, eve = people["bob"], people["eve"]
    (await (await Team.create(acme, "pay")).add_member(eve)).raise_for_status()
    only_view = [{"action": "view", "user": bob.id}, {"action": "edit", "team": "pay"}]
    changes = [
        register("webhook:wh_1"),
        register("webhook:wh_2"),
        grant("webhook:wh_1", "edit", bob),
        {"change": "set_grants", "object": "webhook:wh_2", "grants": only_view},
        {"change": "remove_grant", "object": "webhook:wh_1", **grant_to(bob, "edit")},
        grant("webhook:wh_1", "delete", bob),
    ]
    planned = await plan(acme, *changes)
    assert planned.status_code == 200, planned.text
    assert planned.json()["refusal"] is None
    on = f"webhook:{acme.id}"
    assert gains_and_losses(planned, bob)[0] == {f"delete {on}/wh_1", f"view {on}/wh_2"}
    assert gains_and_losses(planned, eve)[0] == {f"edit {on}/wh_2"}
    entries = len(await acme.ledger())

    made = await make(acme, planned.headers["ETag"], *changes)

    assert made.status_code == 200, made.text
    written = [update for entry in (await acme.ledger())[entries:] for update in entry]
    assert written == planned.json()["updates"]
    assert await acme.can(bob, "delete", on="webhook:wh_1")
    assert not await acme.can(bob, "edit", on="webhook:wh_1")
    assert await acme.can(eve, "edit", on="webhook:wh_2")
    await assert_agreement(acme)


async def test_a_member_grants_on_a_new_object_exactly_what_they_could_grant_afterwards(
    acme: Organization, people: dict[str, Person]
) -> None:
    reg, bob = people["reg"], people["bob"]
    await add_resources(acme, "webhook:old")
    for action in ("view", "view_secret", "send_test", "edit", "delete"):
        changes = [register("webhook:wh_1"), grant("webhook:wh_1", action, bob)]
        planned = await plan(acme, *changes, by=reg)
        assert planned.status_code == 200, planned.text
        on_old = await set_grants(acme, "webhook:old", grant_to(bob, action), by=reg)
        if action in ("view", "edit"):
            assert on_old.is_success
            assert planned.json()["refusal"] is None
            continue
        assert refused(on_old, 403, "grant_beyond_giver")["missing"] == [action]
        assert planned.json()["refusal"]["code"] == "grant_beyond_giver"
        made = await make(acme, planned.headers["ETag"], *changes, by=reg)
        assert refused(made, 403, "grant_beyond_giver")["missing"] == [action]
    allowed = [register("webhook:wh_1"), grant("webhook:wh_1", "edit", bob)]
    assert (await make(acme, await _state(acme), *allowed, by=reg)).is_success
    assert await acme.can(bob, "edit", on="webhook:wh_1")


async def test_rights_that_the_same_plan_gives_count_for_nothing(
    acme: Organization, people: dict[str, Person]
) -> None:
    reg, bob = people["reg"], people["bob"]
    team = await Team.create(acme, "hooks")
    (await team.add_member(reg)).raise_for_status()
    (await team.set_roles("developer")).raise_for_status()
    (await team.set_roles()).raise_for_status()
    to_self = grant("webhook:wh_1", "delete", reg)
    to_team = grant("webhook:wh_1", "delete", "hooks")
    for first in (to_self, to_team):
        changes = [register("webhook:wh_1"), first, grant("webhook:wh_1", "delete", bob)]
        planned = await plan(acme, *changes, by=reg)
        assert planned.json()["refusal"]["code"] == "grant_beyond_giver"
        made = await make(acme, planned.headers["ETag"], *changes, by=reg)
        assert refused(made, 403, "grant_beyond_giver")["item"] == 2


async def test_the_creator_of_a_new_object_cannot_give_what_takes_four_eyes(
    acme: Organization, people: dict[str, Person]
) -> None:
    ana, bob, eve = acme.administrator, people["bob"], people["eve"]
    own = [register("transfer:t_1", ana), grant("transfer:t_1", "authorize", bob)]
    planned = await plan(acme, *own)
    assert planned.json()["refusal"]["code"] == "grant_beyond_giver"
    refused(await make(acme, planned.headers["ETag"], *own), 403, "grant_beyond_giver")
    viewed = [own[0], grant("transfer:t_1", "view", bob)]
    assert (await plan(acme, *viewed)).json()["refusal"] is None
    others = [register("transfer:t_2", eve), grant("transfer:t_2", "authorize", bob)]
    planned = await plan(acme, *others)
    assert planned.json()["refusal"] is None
    assert (await make(acme, planned.headers["ETag"], *others)).is_success
    assert await acme.can(bob, "authorize", on="transfer:t_2")
    # what the direct way answers
    assert (await register_resource(acme, "transfer:t_3", creator=ana)).is_success
    answer = await set_grants(acme, "transfer:t_3", grant_to(bob, "authorize"))
    refused(answer, 403, "grant_beyond_giver")


async def test_an_account_for_a_member_gives_on_a_new_object_only_what_both_will_hold(
    acme: Organization, people: dict[str, Person]
) -> None:
    ana, bob, reg = acme.administrator, people["bob"], people["reg"]
    both = ("resources_register", "webhooks_edit", "transfers_authorize")
    site = await acme.add_backend_account(*both)
    for member, action, missing in (
        (ana, "edit", None),
        (ana, "delete", "the account"),
        (reg, "edit", None),
        (reg, "delete", "both"),
    ):
        caller = site.on_behalf_of(member.id)
        name = f"webhook:{member.id}_{action}"
        changes = [register(name), grant(name, action, bob)]
        made = await make(acme, await _state(acme), *changes, by=caller)
        if missing is None:
            assert made.status_code == 200, made.text
            assert await acme.can(bob, action, on=name)
        else:
            refused(made, 403, "grant_beyond_giver")
    # the member is the creator of what the account registers for them
    changes = [register("transfer:t_1"), grant("transfer:t_1", "authorize", bob)]
    state = await _state(acme)
    made = await make(acme, state, *changes, by=site.on_behalf_of(ana.id))
    refused(made, 403, "grant_beyond_giver")


async def test_an_object_that_was_removed_or_never_registered_takes_no_grant(
    acme: Organization, people: dict[str, Person]
) -> None:
    bob = people["bob"]
    gone = {"change": "remove_object", "object": "webhook:wh_1"}
    granted = grant("webhook:wh_1", "edit", bob)
    refused(await plan(acme, granted, register("webhook:wh_1")), 404, "unknown_resource")
    again = await plan(acme, register("webhook:wh_1"), gone, granted)
    assert refused(again, 404, "unknown_resource")["item"] == 3
    await add_resources(acme, "webhook:wh_1")
    assert (await plan(acme, register("webhook:wh_1"), granted)).json()["refusal"] is None
    assert (await get_grants(acme, "webhook:wh_1")).json()["grants"] == []


async def test_many_new_objects_take_no_question_each(
    acme: Organization, people: dict[str, Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Question] = []
    answers = Engine.answers

    async def counting(
        self: Engine, questions: list[Question], at: Consistency | None = None
    ) -> list[bool]:
        asked.extend(questions)
        return await (answers(self, questions) if at is None else answers(self, questions, at))

    monkeypatch.setattr(Engine, "answers", counting)
    counts = []
    for number in (1, 40):
        names = [f"webhook:wh_{number}_{each}" for each in range(number)]
        changes = [
            change
            for name in names
            for change in (register(name), grant(name, "edit", people["bob"]))
        ]
        planned = await plan(acme, *changes)
        asked.clear()
        made = await make(acme, planned.headers["ETag"], *changes)
        assert made.status_code == 200, made.text
        counts.append(len(asked))
    assert counts[1] <= counts[0]  # the first change also proves the schema


async def _state(organization: Organization) -> str:
    """The organization's state, as every plan names it."""
    planned = await plan(organization, register("webhook:any"))
    planned.raise_for_status()
    return planned.headers["ETag"]
