"""`teamaccess plan` and `teamaccess schema plan`: before anything is written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from teamaccess.catalog import find_catalog_file
from tests.changes.test_refusals import FORGED, NO_SUCH_RELATION
from tests.support.command_line import Run
from tests.support.database_connections import Connection
from tests.support.organization import Organization
from tests.support.people import Person

REFUNDS = """\
        description: Refund a Payment
        level: manage
        source: table
        roles: [operations, support]
"""


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    """fintoc's catalog, in which Support may not refund."""
    file = tmp_path / "fintoc.yaml"
    text = find_catalog_file("fintoc").read_text()
    file.write_text(text.replace(REFUNDS, REFUNDS.replace("operations, support", "operations")))
    return file


def plan_file(folder: Path, organization: Organization, **more: Any) -> str:
    """A file that proposes something."""
    file = folder / "plan.yaml"
    file.write_text(yaml.safe_dump({"organization": organization.id, **more}))
    return str(file)


async def test_a_plan_is_shown_in_every_form_and_made(
    run: Run, acme: Organization, tmp_path: Path
) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    change = {"change": "set_roles", "user": bob.email, "roles": ["product"]}
    file = plan_file(tmp_path, acme, changes=[change], reason="Case 4711")
    shown = await run("plan", file, "--json")
    found = json.loads(shown.stdout)
    assert shown.exit_code == 1
    assert [each["user"] for each in found["items"]] == [bob.id]
    markdown = (await run("plan", file, "--markdown")).stdout
    assert "| who | gains | loses |" in markdown
    assert r"refunds\_create" in markdown
    assert "bob@" in (await run("plan", file)).stdout

    made = await run("plan", file, "--apply", "--state", found["state"], "--json")
    assert made.exit_code == 0, made.stderr
    assert not await acme.can(bob, "refunds_create")
    again = await run("plan", file, "--apply", "--state", found["state"], "--json")
    assert (again.exit_code, json.loads(again.stderr)["code"]) == (2, "state_moved")
    nothing = await run("plan", file)
    assert (nothing.exit_code, "Nobody gains or loses" in nothing.stdout) == (0, True)


async def test_a_malformed_plan_is_refused_in_one_sentence(
    run: Run, acme: Organization, tmp_path: Path
) -> None:
    file = plan_file(tmp_path, acme, chances=[])
    reported = await run("plan", file, "--json")
    assert (reported.exit_code, json.loads(reported.stderr)["code"]) == (2, "bad_plan")
    assert "chances" in json.loads(reported.stderr)["detail"]
    for text in ("a: [", "a: 2001-13-45", "[" * 2000):
        (tmp_path / "plan.yaml").write_text(text)
        reported = await run("plan", file, "--json")
        assert json.loads(reported.stderr)["code"] == "bad_plan"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (
            "organization: acme\nchanges: []\nchanges: []\n",
            "line 3: 'changes' is already in line 2",
        ),
        (
            "organization: acme\nchanges:\n- change: set_roles\n  user: a\n  'user': b\n  roles: []\n",
            "line 5: 'user' is already in line 4",
        ),
        ('{"organization": "acme",\n "organization": "globex"}', "line 2: 'organization'"),
        (
            "organization: acme\nchanges: [{roles: {role: a, expires_at: null,\n role: b}}]",
            "line 3: 'role'",
        ),
    ],
)
async def test_a_key_that_a_plan_has_twice_is_refused_with_its_line(
    run: Run, tmp_path: Path, text: str, where: str
) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(text)
    reported = await run("plan", str(file), "--apply", "--json")
    assert (reported.exit_code, json.loads(reported.stderr)["code"]) == (2, "bad_plan")
    assert where in json.loads(reported.stderr)["detail"]


async def test_another_catalog_is_planned_from_a_file_and_by_schema_plan(
    run: Run, acme: Organization, globex: Organization, tmp_path: Path, catalog: Path
) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    eve = (await globex.add_members({"eve": ["product"]}))["eve"]
    file = plan_file(tmp_path, acme, catalog=catalog.name)
    found = json.loads((await run("plan", file, "--json")).stdout)
    assert [each["user"] for each in found["items"]] == [bob.id]
    refused = await run("plan", file, "--apply", "--json")
    assert json.loads(refused.stderr)["code"] == "catalog_apart"

    only = ("--organization", acme.id, "--organization", globex.id)
    reported = await run("schema", "plan", str(catalog), *only, "--json")
    assert reported.exit_code == 1
    one, compared = [json.loads(line) for line in reported.stdout.splitlines()]
    assert (compared["organizations"], compared["affected"]) == (2, 1)
    assert [each["user"] for each in one["items"]] == [bob.id]
    assert eve.id not in reported.stdout
    same = await run("schema", "plan", *only)
    assert (same.exit_code, "0 of 2 organizations" in same.stdout) == (0, True)


async def test_an_organization_that_cannot_be_asked_does_not_stop_the_others(
    run: Run,
    acme: Organization,
    globex: Organization,
    catalog: Path,
    application_connection: Connection,
) -> None:
    bob = (await globex.add_members({"bob": ["support"]}))["bob"]
    await application_connection.execute(FORGED, acme.id, NO_SUCH_RELATION.format(acme.id))
    only = ("--organization", acme.id, "--organization", globex.id)
    reported = await run("schema", "plan", str(catalog), *only, "--json")
    assert [each["user"] for each in json.loads(reported.stdout.splitlines()[0])["items"]] == [
        bob.id
    ]
    refusal = json.loads(reported.stderr.splitlines()[-1])
    assert (reported.exit_code, refusal["code"]) == (2, "not_all_planned")
    [left_out] = refusal["organizations"]
    assert left_out.startswith(acme.id)


async def test_pending_offers_of_a_role_that_goes_are_listed(
    run: Run, acme: Organization, globex: Organization, tmp_path: Path
) -> None:
    """Nobody holds the role, so no relationship shows that it is used."""
    file = tmp_path / "fintoc.yaml"
    document = yaml.safe_load(find_catalog_file("fintoc").read_text())
    del document["roles"]["product"]
    for resource in document["resources"].values():
        for action in resource["actions"].values():
            action["roles"] = [each for each in action["roles"] if each != "product"]
    file.write_text(yaml.safe_dump(document))
    only = ("--organization", acme.id, "--organization", globex.id)
    before = await run("schema", "plan", str(file), *only)
    assert before.exit_code == 0, before.output

    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    invited = (await acme.invite("eve", ["product", "support"])).json()["id"]
    asked = await bob.ask(
        "POST",
        f"{acme.path}/access-requests",
        json={"role": "product", "duration_hours": 1, "reason": "a review"},
    )
    assert asked.status_code == 201, asked.text
    cancelled = (await acme.invite("max", ["product"])).json()["id"]
    await acme.administrator.ask("DELETE", f"{acme.path}/invitations/{cancelled}")

    reported = await run("schema", "plan", str(file), *only)
    assert reported.exit_code == 1, reported.output
    assert f"{acme.id}: the invitation {invited} offers product" in reported.stdout
    assert f"the access request {asked.json()['id']} asks for product" in reported.stdout
    assert cancelled not in reported.stdout
    assert globex.id not in reported.stdout
    as_json = await run("schema", "plan", str(file), *only, "--json")
    offers = json.loads(as_json.stdout.splitlines()[-1])["offers"]
    assert [(each["kind"], each["id"]) for each in offers] == [
        ("access_request", asked.json()["id"]),
        ("invitation", invited),
    ]


async def test_a_role_that_only_operators_will_give_is_listed_where_it_is_offered(
    run: Run, acme: Organization, tmp_path: Path
) -> None:
    file = _other_catalog(tmp_path, lambda catalog: _for_operators(catalog, "operations"))
    invited = (await acme.invite("eve", ["operations"])).json()["id"]
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    asked = await _ask_for(bob, acme, "operations", hours=1)
    reported = await run("schema", "plan", file, "--organization", acme.id)
    assert reported.exit_code == 1, reported.output
    only_operators = "which only operators can give with the catalog."
    assert f"the invitation {invited} offers operations, {only_operators}" in reported.stdout
    assert f"the access request {asked} asks for operations, {only_operators}" in reported.stdout


async def test_a_request_for_longer_than_the_catalog_will_allow_is_listed(
    run: Run, acme: Organization, tmp_path: Path
) -> None:
    file = _other_catalog(tmp_path, lambda catalog: catalog.update(longest_days=1))
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    await _ask_for(bob, acme, "operations", hours=24)
    asked = await _ask_for(bob, acme, "product", hours=25)
    reported = await run("schema", "plan", file, "--organization", acme.id)
    assert reported.exit_code == 1, reported.output
    line = f"{asked} asks for product, for 25 hours, and the catalog allows 1 day at most."
    assert line in reported.stdout
    assert "asks for operations" not in reported.stdout


async def test_a_custom_role_that_looks_like_a_new_role_of_the_catalog_is_listed(
    run: Run, acme: Organization, tmp_path: Path
) -> None:
    def add(catalog: dict[str, Any]) -> None:
        role = {"name": "Cashier", "description": "Takes money.", "granted_by": "dashboard"}
        catalog["roles"]["cashier"] = role

    for id, name in (("till", "CASHIER"), ("other", "Other")):
        made = await acme.administrator.ask(
            "POST",
            f"{acme.path}/roles",
            json={"id": id, "name": name, "actions": ["refunds_create"]},
        )
        assert made.status_code == 201, made.text
    reported = await run("schema", "plan", _other_catalog(tmp_path, add), "--organization", acme.id)
    assert reported.exit_code == 1, reported.output
    assert f"{acme.id}: the custom role till looks like Cashier" in reported.stdout
    assert "role other" not in reported.stdout


def _other_catalog(folder: Path, change: Callable[[dict[str, Any]], object]) -> str:
    """The file of fintoc's catalog after a change."""
    file = folder / "fintoc.yaml"
    document = yaml.safe_load(find_catalog_file("fintoc").read_text())
    change(document)
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    return str(file)


def _for_operators(catalog: dict[str, Any], role: str) -> None:
    """Let only operators give the role. The catalog demands that such a role has a reserved action."""
    catalog["roles"][role]["granted_by"] = "operator"
    catalog["roles"][role].pop("teams", None)
    actions = [each for part in catalog["resources"].values() for each in part["actions"].values()]
    next(each for each in actions if role in each["roles"])["reserved"] = True


async def _ask_for(person: Person, organization: Organization, role: str, hours: int) -> str:
    """The id of the person's request for a role."""
    body = {"role": role, "duration_hours": hours, "reason": "a review"}
    asked = await person.ask("POST", f"{organization.path}/access-requests", json=body)
    assert asked.status_code == 201, asked.text
    return str(asked.json()["id"])


async def test_audit_commands_answer_for_a_past_time(run: Run, acme: Organization) -> None:
    bob = await acme.member("bob", ["support"])
    then = (await acme.deployment.service.now()).isoformat()
    await acme.change_roles(bob, "product")
    asked = ("audit", "why", acme.id, bob.id, "refunds_create")
    assert (await run(*asked, "--at", then)).exit_code == 0
    assert (await run(*asked)).exit_code == 1
    reported = await run("audit", "who-can", acme.id, "refunds_create", "--at", then, "--csv")
    assert bob.id in reported.stdout
    assert f"as of {then[:19]}" in reported.stderr
    assert "(decided)" in reported.stderr
    wrong = await run(*asked, "--at", "last March", "--json")
    assert (wrong.exit_code, json.loads(wrong.stderr)["code"]) == (2, "no_such_time")


async def test_a_change_that_affects_no_member_yet_is_still_shown(
    run: Run, acme: Organization, tmp_path: Path
) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    await acme.suspend(bob)
    change = {"change": "set_roles", "user": bob.id, "roles": ["developer"]}
    shown = await run("plan", plan_file(tmp_path, acme, changes=[change]))
    assert (shown.exit_code, "Nobody gains or loses" in shown.stdout) == (1, True)
    assert f"TOUCH organization:{acme.id}#developer@user:{bob.id}" in shown.stdout
