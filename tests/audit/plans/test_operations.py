"""Everything that an administrator does can be planned, and is made exactly as planned."""

import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from teamaccess.audit.plans.proposals import Proposal
from tests.audit.plans.test_plan import gains_and_losses, make, plan
from tests.support.command_line import Run
from tests.support.organization import Organization
from tests.support.resources import add_resources, get_grants, grant_to, set_grants
from tests.support.responses import refused
from tests.support.teams import Team

PAGE = Path("docs/reference/plans.md").read_text()
TAGS = {each.__struct_config__.tag for each in get_args(Proposal)}
INVITATION_EXPIRY = re.compile(r"(invitee@email:\w+)\[expiration:[^]]*\]")

SAMPLES: list[dict[str, Any]] = [
    {"change": "add_member", "email": "new@acme.example", "role": "support"},
    {"change": "set_roles", "user": "bob", "roles": ["support"]},
    {"change": "set_membership_end", "user": "bob", "expires_at": None},
    {"change": "suspend", "user": "bob"},
    {"change": "reactivate", "user": "bob"},
    {"change": "remove", "user": "bob"},
    {"change": "invite", "email": "new@acme.example", "roles": ["support"]},
    {"change": "resend_invitation", "invitation": "new@acme.example"},
    {"change": "cancel_invitation", "invitation": "new@acme.example"},
    {"change": "set_role", "role": "refunder", "actions": ["refunds_create"]},
    {"change": "clone_role", "role": "helper", "clone_of": "support", "name": "Helper"},
    {"change": "delete_role", "role": "refunder"},
    {"change": "create_team", "team": "pay"},
    {"change": "rename_team", "team": "pay", "name": "Pay"},
    {"change": "delete_team", "team": "pay"},
    {"change": "set_team_roles", "team": "pay", "roles": []},
    {"change": "put_in_team", "team": "pay", "user": "bob"},
    {"change": "take_from_team", "team": "pay", "user": "bob"},
    {"change": "register_object", "object": "webhook:wh_1"},
    {"change": "remove_object", "object": "webhook:wh_1"},
    {"change": "set_grants", "object": "webhook:wh_1", "grants": []},
    {"change": "grant", "object": "webhook:wh_1", "action": "edit", "user": "bob"},
    {"change": "remove_grant", "object": "webhook:wh_1", "action": "edit", "user": "bob"},
    {"change": "create_service_account", "name": "Nightly", "roles": []},
    {"change": "delete_service_account", "account": "sa_1"},
    {"change": "revoke_token", "account": "sa_1", "token": "tok_1"},
    {"change": "approve_request", "request": "req_1"},
    {"change": "decline_request", "request": "req_1"},
    {"change": "rename_organization", "name": "Acme"},
]


async def test_every_operation_is_sampled_and_documented(fintoc_document: dict[str, Any]) -> None:
    assert {sample["change"] for sample in SAMPLES} == TAGS
    assert {tag for tag in TAGS if f"`{tag}`" not in PAGE} == set()
    document = msgspec.json.encode(fintoc_document).decode()
    assert {tag for tag in TAGS if f'"{tag}"' not in document} == set()


@pytest.fixture
async def fintoc_document(acme: Organization) -> dict[str, Any]:
    """The OpenAPI document."""
    document: dict[str, Any] = (await acme.deployment.http.get("/schema")).json()
    return document


async def test_a_member_without_the_right_can_make_none_of_the_operations(
    acme: Organization,
) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    state = (await plan(acme, {"change": "suspend", "user": bob.id})).headers["ETag"]
    for sample in SAMPLES:
        answer = await make(acme, state, sample, by=bob)
        assert answer.status_code == 403, (sample, answer.text)
        assert answer.json()["code"] in ("missing_permission", "people_decide"), sample


async def test_a_reorganization_is_planned_and_made_as_planned(acme: Organization) -> None:
    people = await acme.add_members({"bob": [], "eve": ["developer"]})
    bob, eve = people["bob"], people["eve"]
    await add_resources(acme, "webhook:wh_1")
    changes: list[dict[str, Any]] = [
        {"change": "create_team", "team": "refunds", "name": "Refunds"},
        {"change": "set_role", "role": "refunder", "actions": ["refunds_create"]},
        {"change": "set_team_roles", "team": "refunds", "roles": ["refunder"]},
        {"change": "put_in_team", "team": "refunds", "user": bob.email},
        {"change": "register_object", "object": "webhook:wh_2"},
        {"change": "grant", "object": "webhook:wh_1", "action": "edit", "team": "refunds"},
        {"change": "create_service_account", "name": "Nightly", "roles": ["support"]},
        {"change": "invite", "email": acme.address("zoe"), "roles": ["support"]},
        {"change": "rename_organization", "name": "Acme Refunds"},
    ]
    planned = await plan(acme, *changes)
    assert planned.status_code == 200, planned.text
    assert planned.json()["refusal"] is None
    webhook = f"webhook:{acme.id}/wh_1"
    assert gains_and_losses(planned, bob)[0] == {"refunds_create", f"edit {webhook}"}
    assert f"edit webhook:{acme.id}/wh_2" in gains_and_losses(planned, eve)[0]
    entries = len(await acme.ledger())

    made = await make(acme, planned.headers["ETag"], *changes)

    assert made.status_code == 200, made.text
    written = [str(each) for entry in (await acme.ledger())[entries:] for each in entry]
    assert _timeless(written) == _timeless(planned.json()["updates"])
    assert await acme.can(bob, "refunds_create")
    assert await acme.can(bob, "edit", on="webhook:wh_1")
    assert (await acme.accept("zoe")).is_success


async def test_ending_a_team_an_object_or_a_grant_shows_who_loses_what(
    acme: Organization,
) -> None:
    people = await acme.add_members({"bob": [], "eve": []})
    team = await Team.create(acme, "pay", "support")
    (await team.add_member(people["bob"])).raise_for_status()
    await add_resources(acme, "webhook:wh_1", "webhook:wh_2")
    both = [grant_to(people["eve"], "edit"), grant_to("pay", "edit")]
    for name in ("webhook:wh_1", "webhook:wh_2"):
        (await set_grants(acme, name, *both)).raise_for_status()
    on = f"webhook:{acme.id}"
    changes = [
        {"change": "remove_grant", "object": "webhook:wh_1", "action": "edit", "team": "pay"},
        {"change": "remove_object", "object": "webhook:wh_2"},
    ]
    planned = await plan(acme, *changes)
    assert gains_and_losses(planned, people["bob"]) == (
        set(),
        {f"edit {on}/wh_1", f"edit {on}/wh_2"},
    )
    assert gains_and_losses(planned, people["eve"]) == (set(), {f"edit {on}/wh_2"})
    (await make(acme, planned.headers["ETag"], *changes)).raise_for_status()
    [left] = (await get_grants(acme, "webhook:wh_1")).json()["grants"]
    assert left["user"] == people["eve"].id
    deleted = await plan(acme, {"change": "delete_team", "team": "pay"})
    assert "refunds_create" in gains_and_losses(deleted, people["bob"])[1]
    missing = {"change": "remove_grant", "object": "webhook:wh_1", "action": "edit", "team": "pay"}
    refused(await plan(acme, missing), 404, "unknown_grant")


async def test_a_reader_plans_grants_and_invitations_that_they_may_not_make(
    acme: Organization,
) -> None:
    await acme.add_custom_role("auditing", "audit_view")
    bob = (await acme.add_members({"bob": []}))["bob"]
    eve = await acme.member("eve", ["auditing"])
    await add_resources(acme, "webhook:wh_1")
    planned = await plan(
        acme,
        {"change": "grant", "object": "webhook:wh_1", "action": "edit", "user": bob.id},
        {"change": "invite", "email": acme.address("zoe"), "roles": ["support"]},
        by=eve,
    )
    assert planned.status_code == 200, planned.text
    assert planned.json()["refusal"]["code"] == "missing_permission"
    assert gains_and_losses(planned, bob)[0] == {f"edit webhook:{acme.id}/wh_1"}
    assert acme.deployment.mails_to(acme.address("zoe")) == []


async def test_only_operators_add_members_without_an_invitation(
    acme: Organization, run: Run, tmp_path: Path
) -> None:
    added = {"change": "add_member", "email": acme.address("zoe"), "role": "support"}
    more = {"change": "set_roles", "user": acme.address("zoe"), "roles": ["product"]}
    planned = await plan(acme, added, more)
    assert planned.json()["refusal"]["code"] == "only_operators_add"
    [zoe] = planned.json()["items"]
    made = await make(acme, planned.headers["ETag"], added, more)
    refused(made, 403, "only_operators_add")
    file = tmp_path / "plan.json"
    file.write_bytes(msgspec.json.encode({"organization": acme.id, "changes": [added, more]}))
    assert (await run("plan", str(file), "--apply")).exit_code == 0
    assert (await acme.roles_by_member())[zoe["user"]] == ["product"]
    invited = {"change": "invite", "email": acme.address("kim"), "roles": ["support"]}
    file.write_bytes(msgspec.json.encode({"organization": acme.id, "changes": [invited]}))
    answer = await run("plan", str(file))
    assert answer.exit_code == 2
    assert "Operators can't invite people" in answer.output


def _timeless(updates: list[str]) -> list[str]:
    return [INVITATION_EXPIRY.sub(r"\1", update) for update in updates]
