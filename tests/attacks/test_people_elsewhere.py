"""A plan of one tenant neither delays people of other tenants nor reveals who they are."""

from typing import Any

import pytest
from sqlalchemy import event, text

from teamaccess.audit.plans.operations.base import Invitations
from teamaccess.audit.plans.operations.members import AddMember
from teamaccess.audit.plans.operations.others import CreateServiceAccount, Invite
from teamaccess.audit.plans.plan import PLANNER
from teamaccess.audit.plans.proposals import Proposal, make_all
from teamaccess.changes import OrganizationChange
from teamaccess.directory.members.administrators import grant_administrator
from teamaccess.ledger import Attribution
from teamaccess.storage import Channel
from tests.support.deployment import OPERATOR
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.responses import refused

UNIQUE_ON_THE_PLATFORM = """
SELECT count(*) FROM users
WHERE xmin = pg_current_xact_id()::xid AND num_nonnulls(email, external_id, issuer) > 0
"""
"""Counts the new or changed users of this transaction with a value that another tenant may need."""


async def make(change: OrganizationChange, *proposals: Proposal) -> None:
    """Make the proposals in an open change."""
    await make_all(list(proposals), change, Invitations(b"k" * 32))


async def auditor_of(organization: Organization) -> Person:
    """A member who may read the audit and nothing else."""
    eve = (await organization.add_members({"eve": []}))["eve"]
    await organization.add_custom_role("reader", "audit_view", holders=[eve])
    return eve


async def test_a_person_accepts_an_invitation_while_another_tenant_plans_to_add_them(
    acme: Organization, globex: Organization
) -> None:
    await globex.invite("new", ["support"])
    answers = []

    async def act(change: OrganizationChange) -> None:
        await make(change, AddMember(email=globex.address("new"), role="support"))
        answers.append(await globex.accept("new"))

    await acme.deployment.service.ledger.rehearse(PLANNER, acme.id, act)
    assert [each.status_code for each in answers] == [200]


@pytest.mark.parametrize(
    "proposal",
    [
        AddMember(email="new@elsewhere.example", role="support", name="New"),
        CreateServiceAccount(name="Nightly", roles=["support"]),
        Invite(email="new@elsewhere.example", roles=["support"]),
    ],
)
async def test_a_rehearsal_holds_no_value_that_is_unique_on_the_platform(
    acme: Organization, proposal: Proposal
) -> None:
    async def act(change: OrganizationChange) -> None:
        change.on_behalf_of_asker = acme.administrator.id
        await make(change, proposal)
        await change.session.flush()
        assert await change.session.scalar(text(UNIQUE_ON_THE_PLATFORM)) == 0

    await acme.deployment.service.ledger.rehearse(PLANNER, acme.id, act)


async def test_a_planned_invitation_does_not_refuse_one_to_another_organization(
    acme: Organization, globex: Organization
) -> None:
    kim = (await acme.add_members({"kim": ["administrator"]}))["kim"]
    async with acme.deployment.operator(globex.id) as change:
        await grant_administrator(change, globex.id, kim.email, "she works for both")
    answers = []

    async def act(change: OrganizationChange) -> None:
        await make(change, Invite(email=acme.address("new"), roles=["support"]))
        answers.append(await globex.invite("new", ["support"], by=kim))

    attribution = Attribution(f"user:{kim.id}", Channel.API, "tests")
    await acme.deployment.service.ledger.rehearse(attribution, acme.id, act)
    assert [each.status_code for each in answers] == [201]


async def test_a_request_that_waits_in_vain_for_another_change_says_so(
    acme: Organization, globex: Organization
) -> None:
    await globex.invite("new", ["support"])
    async with acme.deployment.service.ledger.change(OPERATOR, acme.id) as change:
        await make(change, AddMember(email=globex.address("new"), role="support"))
        problem = refused(await globex.accept("new"), 503, "database_busy")
    assert "Another change holds" in problem["detail"]
    assert "Nothing was changed" in problem["detail"]
    assert (await globex.accept("new")).status_code == 200


async def test_a_plan_shows_the_same_for_a_person_of_another_tenant_as_for_an_unknown_one(
    acme: Organization, globex: Organization
) -> None:
    eve = await auditor_of(acme)
    victim = await globex.member("victim", ["support"])
    shown, executed = [], []
    seen: list[str] = []

    def note(*arguments: Any) -> None:
        seen.append(arguments[2])

    engine = acme.deployment.service.ledger.sessions.kw["bind"].sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        for address in (victim.email, globex.address("nobody")):
            seen.clear()
            body = {"changes": [{"change": "add_member", "email": address, "role": "support"}]}
            answer = await eve.ask("POST", f"{acme.path}/audit/plan", json=body)
            answer.raise_for_status()
            assert victim.id not in answer.text
            [item] = answer.json()["items"]
            assert (item["email"], item["name"]) == (address, None)
            shown.append(answer.text.replace(address, "").replace(item["user"], ""))
            executed.append(sorted(seen))
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert shown[0].split('"evidence"')[0] == shown[1].split('"evidence"')[0]
    assert executed[0] == executed[1]


async def test_later_operations_of_a_plan_find_the_person_whom_it_adds(
    acme: Organization, globex: Organization
) -> None:
    victim = await globex.member("victim", ["support"])
    body = {
        "changes": [
            {"change": "add_member", "email": victim.email, "role": "support"},
            {"change": "add_member", "email": victim.email, "role": "developer"},
            {"change": "set_roles", "user": victim.email, "roles": ["developer"]},
            {"change": "create_team", "team": "pay"},
            {"change": "put_in_team", "team": "pay", "user": victim.email},
        ]
    }
    answer = await acme.administrator.ask("POST", f"{acme.path}/audit/plan", json=body)
    answer.raise_for_status()
    [item] = answer.json()["items"]
    assert item["email"] == victim.email
    assert "webhooks_create" in {each["action"] for each in item["gains"]}
    body["changes"].append({"change": "invite", "email": victim.email, "roles": ["support"]})
    again = await acme.administrator.ask("POST", f"{acme.path}/audit/plan", json=body)
    refused(again, 409, "already_member")
