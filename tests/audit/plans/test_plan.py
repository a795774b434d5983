"""Plans: who would gain and lose what, before anything is written."""

from typing import Any

import httpx
import pytest

from teamaccess.audit.plans import held_actions
from teamaccess.audit.plans import plan as planning
from teamaccess.catalog import Catalog, find_catalog_file, read_catalog
from teamaccess.changes import Ledger, Rehearsal, time_limit
from teamaccess.ledger import Attribution, OrganizationBusy
from teamaccess.storage import Channel, OrganizationId, RoleId
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.resources import add_resources, grant_to, set_grants
from tests.support.responses import refused
from tests.support.teams import Team


async def plan(organization: Organization, *changes: dict[str, Any], **more: Any) -> httpx.Response:
    """The answer to the administrator, or to another caller."""
    who: Person = more.pop("by", organization.administrator)
    return await who.ask(
        "POST", f"{organization.path}/audit/plan", json={"changes": changes, **more}
    )


async def make(
    organization: Organization, state: str | None, *changes: dict[str, Any], **more: Any
) -> Any:
    """Make them real."""
    who: Person = more.pop("by", organization.administrator)
    headers = {} if state is None else {"If-Match": state}
    body = {"changes": changes, **more}
    return await who.ask("POST", f"{organization.path}/changes", json=body, headers=headers)


def gains_and_losses(answer: httpx.Response, who: Person) -> tuple[set[str], set[str]]:
    """The gains and losses of a user, with the names of resources."""
    reported = answer.json()
    [found] = [each for each in reported["items"] if each["user"] == who.id]
    gains, loses = (
        {place for has in found[kind] for place in places(reported, has)}
        for kind in ("gains", "loses")
    )
    return gains, loses


def places(reported: dict[str, Any], has: dict[str, Any]) -> list[str]:
    """An action of a user, with the names of all resources on which they have it."""
    if (on := has["resource"]) is None:
        return [has["action"]]
    objects = reported["alike"].get(on, [on])
    assert len(objects) == has["others"] + 1
    return [f"{has['action']} {each}" for each in objects]


async def test_planning_writes_nothing(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    before = await acme.ledger(), len(await acme.events())
    answer = await plan(acme, {"change": "set_roles", "user": bob.id, "roles": ["developer"]})
    answer.raise_for_status()
    gains, loses = gains_and_losses(answer, bob)
    assert {"webhooks_create"} <= gains
    assert {"refunds_create"} <= loses
    assert (await acme.ledger(), len(await acme.events())) == before
    assert await acme.can(bob, "refunds_create")
    evidence = answer.json()["evidence"]
    assert (evidence["position"], evidence["rows"]) == (len(before[0]), 1)


async def test_removing_a_member_also_loses_grants_on_resources(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": []}))["bob"]
    await add_resources(acme, "webhook:wh_1", "webhook:wh_2", "webhook:wh_3")
    for name in ("webhook:wh_1", "webhook:wh_2"):
        (await set_grants(acme, name, grant_to(bob, "edit"))).raise_for_status()
    answer = await plan(acme, {"change": "remove", "user": bob.email})
    on = f"webhook:{acme.id}"
    assert gains_and_losses(answer, bob) == (set(), {f"edit {on}/wh_1", f"edit {on}/wh_2"})


async def test_resources_with_equal_changes_are_listed_once(acme: Organization) -> None:
    names = [f"p{number}" for number in range(8)]
    await acme.add_members({name: ["developer"] for name in names})
    await add_resources(acme, *(f"webhook:wh_{number}" for number in range(8)))
    answer = await plan(
        acme, *({"change": "suspend", "user": acme.address(each)} for each in names)
    )
    assert len(answer.json()["items"]) == len(names)
    assert answer.text.split('"updates"')[0].count(f"webhook:{acme.id}/wh_7") == 1


async def test_changes_without_effect_are_not_shown(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    answer = await plan(acme, {"change": "set_roles", "user": bob.id, "roles": ["support"]})
    assert (answer.json()["items"], answer.json()["updates"]) == ([], [])


async def test_a_plan_is_refused_by_the_same_rules_as_the_change(acme: Organization) -> None:
    ana = acme.administrator
    refused(await plan(acme, {"change": "remove", "user": ana.id}), 409, "last_administrator")
    nobody = {"change": "remove", "user": "nobody@example.com"}
    refused(await plan(acme, nobody), 404, "unknown_member")
    wrong = {"change": "set_roles", "user": ana.id, "roles": ["king"]}
    refused(await plan(acme, wrong), 400, "unknown_role")
    twice = {"change": "set_roles", "user": ana.id, "roles": ["support", "support"]}
    refused(await plan(acme, twice), 400, "role_twice")
    endless = {"role": "support", "expires_at": "9999-12-31T23:59:59-12:00"}
    far = {"change": "set_roles", "user": ana.id, "roles": [endless]}
    assert (await plan(acme, far)).status_code == 400
    assert (await plan(acme, {"change": "destroy"})).status_code == 400
    refused(await plan(acme), 400, "nothing_proposed")
    again = {"change": "set_roles", "user": ana.id, "roles": ["administrator"]}
    refused(await plan(acme, again, again), 400, "change_twice")


async def test_a_caller_who_may_not_make_the_changes_is_refused(acme: Organization) -> None:
    body = {"id": "auditor", "name": "Auditor", "actions": ["audit_view"]}
    await acme.administrator.ask("POST", f"{acme.path}/roles", json=body)
    people = await acme.add_members({"bob": ["support"]})
    eve = await acme.member("eve", ["auditor"])
    wanted = {"change": "suspend", "user": people["bob"].id}
    answer = await plan(acme, wanted, by=eve)
    assert answer.json()["refusal"]["code"] == "missing_permission"
    made = await make(acme, answer.headers["ETag"], wanted, by=eve)
    refused(made, 403, "missing_permission")
    refused(await plan(acme, wanted, by=people["bob"]), 403, "missing_permission")


async def test_only_operators_plan_and_make_administrators(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": []}))["bob"]
    wanted = {"change": "set_roles", "user": bob.id, "roles": ["administrator"]}
    answer = await plan(acme, wanted)
    assert answer.json()["refusal"]["code"] == "operator_only_role"
    assert "users_remove" in gains_and_losses(answer, bob)[0]
    refused(await make(acme, answer.headers["ETag"], wanted), 403, "operator_only_role")


async def test_planned_changes_are_made_only_if_the_state_is_unchanged(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    wanted = {"change": "set_roles", "user": bob.id, "roles": ["developer"]}
    state = (await plan(acme, wanted)).headers["ETag"]
    refused(await make(acme, None, wanted), 400, "plan_needed")
    (await acme.change_roles(bob, "product")).raise_for_status()
    moved = refused(await make(acme, state, wanted), 412, "state_moved")
    made = await make(acme, f'"{moved["state"]}"', wanted, reason="Case 4711")
    assert made.status_code == 200, made.text
    assert made.headers["Teamaccess-Change"] == f"{acme.id}:{len(await acme.ledger())}"
    assert await acme.can(bob, "webhooks_create", at=made.headers["Zed-Token"])


async def test_a_change_without_the_right_to_plan_does_not_reveal_the_state(
    acme: Organization,
) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    team = await Team.create(acme, "pay")
    (await team.add_member(bob)).raise_for_status()
    leaving = {"change": "take_from_team", "team": "pay", "user": bob.id}
    body = {"changes": [leaving]}
    headers = {"If-Match": '"x"'}
    answer = await bob.ask("POST", f"{acme.path}/changes", json=body, headers=headers)
    assert "state" not in refused(answer, 403, "missing_permission")


async def test_a_condition_may_list_several_plans(acme: Organization) -> None:
    ana = acme.administrator.id
    last = {"change": "remove", "user": ana}
    same = {"change": "set_roles", "user": ana, "roles": ["administrator"]}
    state = (await plan(acme, same)).headers["ETag"]
    refused(await make(acme, f'"another", {state}', last), 409, "last_administrator")
    refused(await make(acme, f"W/{state}", last), 412, "state_moved")
    refused(await make(acme, state.strip('"'), last), 412, "state_moved")


async def test_a_caller_who_may_not_change_members_does_not_learn_who_they_are(
    acme: Organization,
) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    state = (await plan(acme, {"change": "suspend", "user": bob.id})).headers["ETag"]
    for kind in ("suspend", "reactivate", "remove"):
        for address in (acme.administrator.email, "nobody@example.com", "nobody"):
            wanted = {"change": kind, "user": address}
            refused(await make(acme, state, wanted, by=bob), 403, "missing_permission")


async def test_a_caller_without_the_right_does_not_learn_whether_a_plan_is_current(
    acme: Organization,
) -> None:
    """A 412 names the present state, so the right is judged first, even shortly after a suspension."""
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    wanted = {"change": "suspend", "user": bob.id}
    state = (await plan(acme, wanted)).headers["ETag"]
    for tag in (state, '"another"'):
        refused(await make(acme, tag, wanted, by=bob), 403, "missing_permission")
    (await acme.suspend(bob)).raise_for_status()
    for tag in (state, '"another"'):
        refused(await make(acme, tag, wanted, by=bob), 404, "unknown_organization")


async def test_an_impossible_user_id_is_unknown(acme: Organization) -> None:
    for name in ("\x00", "a\x00b", "é", "nobody"):
        refused(await plan(acme, {"change": "suspend", "user": name}), 404, "unknown_member")
        into = {"change": "put_in_team", "team": "pay", "user": name}
        refused(await plan(acme, into), 404, "unknown_team")


async def test_a_plan_does_not_block_changes_for_long(
    acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    wanted = {"change": "suspend", "user": bob.id}
    monkeypatch.setattr(time_limit, "LONGEST_SECONDS", 0)
    refused(await plan(acme, wanted), 409, "plan_takes_too_long")
    assert (await acme.suspend(bob)).status_code == 204


async def test_an_outage_is_not_reported_as_a_refusal(
    acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    rehearse = Ledger.rehearse

    async def busy(
        self: Ledger, by: Attribution, here: OrganizationId, act: Any, asker: str
    ) -> Rehearsal:
        if by.channel is Channel.API:
            raise OrganizationBusy(organization=here)
        return await rehearse(self, by, here, act, asker)

    monkeypatch.setattr(Ledger, "rehearse", busy)
    refused(await plan(acme, {"change": "suspend", "user": bob.id}), 503, "organization_busy")


async def test_several_changes_are_made_together_or_not_at_all(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    good = {"change": "set_roles", "user": bob.id, "roles": ["developer"]}
    bad = {"change": "remove", "user": acme.administrator.id}
    state = (await plan(acme, good)).headers["ETag"]
    refused(await make(acme, state, good, bad), 409, "last_administrator")
    assert not await acme.can(bob, "webhooks_create")


REFUNDS = """\
        description: Refund a Payment
        level: manage
        source: table
        roles: [operations, support]
"""


@pytest.fixture
def other() -> str:
    """fintoc's catalog, in which Support may not refund."""
    text = find_catalog_file("fintoc").read_text()
    catalog = read_catalog(text, "fintoc")
    assert "support" in catalog.actions["refunds_create"].roles
    return text.replace(REFUNDS, REFUNDS.replace("operations, support", "operations"))


async def test_another_catalog_is_planned_like_a_change(acme: Organization, other: str) -> None:
    people = await acme.add_members({"bob": ["support"], "eve": ["developer"]})
    answer = await plan(acme, catalog=other)
    answer.raise_for_status()
    assert gains_and_losses(answer, people["bob"]) == (set(), {"refunds_create"})
    assert [each["user"] for each in answer.json()["items"]] == [people["bob"].id]
    assert answer.json()["catalog"] == read_catalog(other, "fintoc").version
    assert answer.json()["catalog"] != answer.json()["evidence"]["catalog"]


async def test_roles_that_another_catalog_lacks_are_reported(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    without = _renamed(find_catalog_file("fintoc").read_text())
    answer = await plan(acme, catalog=without)
    assert answer.json()["orphans"] == [f"organization:{acme.id}#support@user:{bob.id}"]
    assert "refunds_create" in gains_and_losses(answer, bob)[1]


def _renamed(text: str) -> str:
    """The catalog's text in which the role Support has another id."""
    return (
        text.replace("  support:", "  helpers:")
        .replace(", support", ", helpers")
        .replace("[support,", "[helpers,")
    )


async def test_an_invalid_catalog_is_refused_with_line_numbers(acme: Organization) -> None:
    reported = refused(await plan(acme, catalog="roles: [1]\n"), 400, "bad_catalog")
    assert all(each.startswith("line ") for each in reported["mistakes"])
    reported = refused(await plan(acme, catalog="- " * 20_000), 400, "bad_catalog")
    assert reported["mistakes"] == ["line 1: is nested too deep"]
    bomb = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"
    reported = refused(await plan(acme, catalog=bomb), 400, "bad_catalog")
    assert "aliases" in reported["mistakes"][0]


async def test_a_plan_over_too_many_kinds_of_resources_is_refused(
    acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = await acme.add_members({"bob": [], "eve": []})
    await add_resources(acme, "transfer:t1", creator=people["bob"])
    await add_resources(acme, "transfer:t2", creator=people["eve"])
    monkeypatch.setattr(held_actions, "MOST_GROUPS", 1)
    wanted = {"change": "suspend", "user": people["bob"].id}
    refused(await plan(acme, wanted), 409, "too_many_objects")


async def test_an_expiry_does_not_pass_during_a_plan(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    now = await acme.deployment.service.now()
    await acme.set_role_expiry(bob, RoleId("support"), now.replace(year=now.year + 1))
    answer = await plan(acme, {"change": "suspend", "user": bob.id})
    assert "refunds_create" in gains_and_losses(answer, bob)[1]


def test_the_other_catalog_differs_from_the_current_one(other: str) -> None:
    """A catalog that only looks changed would prove nothing."""
    catalog: Catalog = read_catalog(other, "fintoc")
    assert "support" not in catalog.actions["refunds_create"].roles


async def test_a_plan_that_takes_too_long_is_refused_and_blocks_nobody(
    acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    wanted = {"change": "suspend", "user": bob.id}
    with monkeypatch.context() as impatient:
        impatient.setattr(planning, "LONGEST_ANSWER_SECONDS", 0)
        refused(await plan(acme, wanted), 409, "plan_too_large")
    (await plan(acme, wanted)).raise_for_status()


async def test_a_change_that_needs_no_right_shows_nobody_the_state(acme: Organization) -> None:
    kim = (await acme.add_members({"kim": ["support"]}))["kim"]
    pay = await Team.create(acme, "pay", "product")
    await pay.add_member(kim)
    leaving = [{"change": "take_from_team", "team": "pay", "user": kim.id}]
    answer = await kim.ask(
        "POST", f"{acme.path}/changes", json={"changes": leaving}, headers={"If-Match": '"x"'}
    )
    refused(answer, 403, "missing_permission")
    assert "state" not in answer.json()
    assert await pay.member_ids() == [kim.id]
