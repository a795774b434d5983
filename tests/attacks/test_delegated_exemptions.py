"""People may change themselves without further permissions. A backend may not do it on their behalf."""

import ast
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

import teamaccess
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.resources import add_resources
from tests.support.responses import refused
from tests.support.teams import Team


@pytest.fixture
async def lea(branch: Organization) -> Person:
    """A lead, far above the backends below."""
    return (await branch.add_members({"lea": ["lead"], "nora": []}))["lea"]


@pytest.fixture
async def team(branch: Organization, lea: Person) -> Team:
    """A team with more permissions than the backends. Its only member is lea."""
    team = await Team.create(branch, "crew", "deputy")
    (await team.add_member(lea)).raise_for_status()
    return team


async def test_a_backend_cannot_change_a_team_that_has_only_its_member(
    branch: Organization, lea: Person, team: Team
) -> None:
    backend = await branch.add_backend_account("people_manage", "counter_view")
    for_lea = backend.on_behalf_of(lea.id)
    soon = await branch.deployment.service.now() + timedelta(hours=1)

    refused(await team.set_roles(by=for_lea), 403, "team_above_actor")
    refused(await team.delete(by=for_lea), 403, "team_above_actor")
    refused(await team.remove_member(lea, by=for_lea), 403, "team_above_actor")
    refused(await team.add_member(lea, until=soon, by=for_lea), 403, "team_above_actor")
    assert await team.member_ids() == [lea.id]
    assert await branch.can(lea, "counter_pay")


async def test_the_member_may_do_all_of_that_in_person(
    branch: Organization, lea: Person, team: Team
) -> None:
    soon = await branch.deployment.service.now() + timedelta(hours=1)
    assert (await team.add_member(lea, until=soon, by=lea)).status_code == 200
    assert (await team.set_roles(by=lea)).status_code == 200
    assert (await team.delete(by=lea)).status_code == 204


async def test_a_backend_that_holds_as_much_may_do_it_for_the_member(
    branch: Organization, lea: Person, team: Team
) -> None:
    backend = await branch.add_backend_account(
        "people_manage", "people_view", "people_invite", "counter_view"
    )
    role = ["counter_pay", "people_manage", "people_view", "people_invite", "counter_view"]
    full = await branch.add_custom_role("full", "people_act_for", *role)
    (await branch.change_roles(backend, full)).raise_for_status()
    assert (await team.delete(by=backend.on_behalf_of(lea.id))).status_code == 204


async def test_a_backend_cannot_change_the_roles_or_end_the_membership_of_its_member(
    branch: Organization, lea: Person
) -> None:
    backend = await branch.add_backend_account("people_manage", "counter_view")
    for_lea = backend.on_behalf_of(lea.id)
    before = await branch.roles_by_member()
    soon = (await branch.deployment.service.now() + timedelta(hours=1)).isoformat()

    refused(await branch.change_roles(lea, by=for_lea), 403, "member_above_actor")
    end = await for_lea.ask("PATCH", f"{branch.path}/members/{lea.id}", json={"expires_at": soon})
    refused(end, 403, "member_above_actor")
    for verb in ("suspend", "remove"):
        refused(await branch.change_status(verb, lea, by=for_lea), 403, "member_above_actor")
    refused(await for_lea.ask("POST", f"{branch.path}/leave"), 403, "only_in_person")
    assert await branch.roles_by_member() == before


async def test_a_backend_cannot_remove_a_grant_of_its_member_beyond_its_own(
    acme: Organization,
) -> None:
    ana = acme.administrator
    await add_resources(acme, "webhook:wh_1")
    grants = f"{acme.path}/resources/webhook/wh_1/grants"
    mine = {"grants": [{"action": "edit", "user": ana.id}]}
    (await ana.ask("PUT", grants, json=mine)).raise_for_status()
    guard = acme.deployment.service.catalog.guards["register_resources"]
    backend = await acme.add_backend_account(guard)

    emptied = await backend.on_behalf_of(ana.id).ask("PUT", grants, json={"grants": []})
    refused(emptied, 403, "grant_above_actor")
    assert (await ana.ask("PUT", grants, json={"grants": []})).status_code == 200


SOURCE = Path(teamaccess.__file__).parent
HOME = SOURCE / "changes" / "change.py"
ELSEWHERE = {
    "ledger": "attributes changes to actors",
    "delivery/position.py": "asks SpiceDB about both of a pair",
    "access/own_access.py": "finds whose access counts as the actor's own, and refuses more of it",
    "access/reading.py": "asks SpiceDB about both of a pair",
    "directory/resources/creators.py": "names the member of a pair as the creator",
    "api/requests/idempotency.py": "keeps the keys of different callers apart",
    "api/routes/changes.py": "shows a change to its actor",
    "directory/access_requests/ask.py": "looks for an open request of the actor's for the same thing",
    "directory/users/own_events.py": "counts the events that one user caused",
}
"""Code that compares the actor or looks at a pair, and exempts nobody by that."""


def test_no_other_code_compares_the_actor_with_the_target() -> None:
    found = [
        f"{path.relative_to(SOURCE)}:{line}"
        for path in sorted(SOURCE.rglob("*.py"))
        if path != HOME and not _is_elsewhere(path)
        for line in _comparisons(ast.parse(path.read_text()))
    ]
    assert found == [], "decide in changes/change.py whether somebody acts on themselves"


def test_the_scan_recognizes_each_way_to_write_a_comparison() -> None:
    for code in (
        "actor == user",
        "user != actor",
        "(kind, actor) == (1, user)",
        "user in (actor, other)",
        "Row.user_id != actor",
        "change.attribution.actor == user",
        "change.attribution.on_behalf is None",
        "attribution.involves(user)",
        "match(than=actor)",
    ):
        assert list(_comparisons(ast.parse(code))) == [1], code


def _is_elsewhere(path: Path) -> bool:
    return any(path.is_relative_to(SOURCE / each) for each in ELSEWHERE)


def _comparisons(tree: ast.AST) -> Iterator[int]:
    """Yield the lines on which the actor is compared, or a pair is looked at."""
    for node in ast.walk(tree):
        match node:
            case ast.Compare(left=left, comparators=others):
                if any(_is_actor(each) for side in (left, *others) for each in ast.walk(side)):
                    yield node.lineno
            case ast.Attribute(attr="involves") | ast.keyword(arg="than"):
                yield node.lineno


def _is_actor(node: ast.AST) -> bool:
    match node:
        case ast.Name(id="actor") | ast.Attribute(attr="actor" | "on_behalf"):
            return True
        case _:
            return False
