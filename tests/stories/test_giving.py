"""Members give only what they hold, and cannot act on members above them.

The stories use the bank, whose lead manages members without holding everything.
"""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.responses import refused

OPERATIONS = ["suspend", "reactivate", "remove", "clerk", "nothing"]
PEOPLE = {
    "lea": ["lead"],
    "leo": ["lead"],
    "dan": ["deputy"],
    "ada": ["auditor"],
    "cleo": ["custodian"],
    "both": ["clerk", "auditor"],
    "carl": ["clerk"],
    "nora": [],
}


@pytest.fixture
async def people(branch: Organization) -> dict[str, Person]:
    """One member of each role. Lea is the lead."""
    return await branch.add_members(PEOPLE)


async def do(
    organization: Organization, operation: str, target: Person, by: Person
) -> httpx.Response:
    """Act on a member: leave them the role of a clerk, or no role, or perform the operation."""
    if operation in ("clerk", "nothing"):
        roles = ["clerk"] if operation == "clerk" else []
        return await organization.change_roles(target, *roles, by=by)
    return await organization.change_status(operation, target, by=by)


async def test_a_lead_gives_what_a_lead_holds(
    branch: Organization, people: dict[str, Person]
) -> None:
    lea, nora = people["lea"], people["nora"]
    for role in ("clerk", "deputy", "lead"):
        assert (await branch.change_roles(nora, role, by=lea)).status_code == 200
        assert (await branch.invite(f"new-{role}", [role], by=lea)).status_code == 201
        assert (await branch.accept(f"new-{role}")).status_code == 200


async def test_no_path_lets_a_lead_give_more_than_they_hold(
    branch: Organization, people: dict[str, Person]
) -> None:
    lea = people["lea"]
    before = await branch.roles_by_member()
    for role, lacks in (("auditor", ["house_audit"]), ("owner", None)):
        for answer in (
            await branch.invite("new", [role], by=lea),
            await branch.invite("new", ["clerk", role], by=lea),
            await branch.change_roles(people["nora"], role, by=lea),
            await branch.change_roles(lea, "lead", role, by=lea),
        ):
            problem = refused(answer, 403, "role_beyond_giver")
            assert lacks is None or problem["missing"] == lacks
    id = (await branch.invite("new", ["clerk"], by=lea)).json()["id"]
    await branch.replace_offered_roles(id, ["auditor"])
    resent = await lea.ask("POST", f"{branch.path}/invitations/{id}/resend")
    refused(resent, 403, "role_beyond_giver")
    assert await branch.roles_by_member() == before


async def test_not_even_the_owner_gives_an_operators_role(
    branch: Organization, people: dict[str, Person]
) -> None:
    answer = await branch.change_roles(people["nora"], "custodian")
    refused(answer, 403, "operator_only_role")
    kept = await branch.change_roles(people["cleo"], "custodian", "clerk")
    assert kept.status_code == 200
    assert (await branch.change_roles(people["cleo"], "clerk")).status_code == 200
    answer = await branch.change_roles(people["cleo"], "custodian")
    refused(answer, 403, "operator_only_role")


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_members_cannot_act_on_members_above_them(
    branch: Organization, people: dict[str, Person], operation: str
) -> None:
    another = (await branch.add_members({"another": ["owner"]}))["another"]
    for name in ("ana", "ada", "cleo", "both"):
        target = branch.people[name]
        if operation == "reactivate":
            await branch.suspend(target, by=another)
        before = await branch.ledger()

        answer = await do(branch, operation, target, by=people["lea"])

        problem = refused(answer, 403, "member_above_actor")
        assert problem["user"] == target.id
        assert problem["missing"]
        assert await branch.ledger() == before


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_members_may_act_on_equals_and_on_members_below_them(
    branch: Organization, people: dict[str, Person], operation: str
) -> None:
    for name in ("leo", "dan", "carl", "nora"):
        if operation == "reactivate":
            await branch.suspend(people[name])
        answer = await do(branch, operation, people[name], by=people["lea"])
        assert answer.is_success, answer.text


@pytest.mark.parametrize("days", [-1, 30])
async def test_temporary_and_expired_roles_count_for_rank(
    branch: Organization, people: dict[str, Person], days: int
) -> None:
    ada = people["ada"]
    await branch.set_role_expiry(ada, "auditor", datetime.now(UTC) + timedelta(days=days))

    for operation in ("suspend", "remove"):
        refused(
            await branch.change_status(operation, ada, by=people["lea"]), 403, "member_above_actor"
        )


async def test_roles_that_the_caller_held_a_moment_ago_do_not_count(
    branch: Organization, people: dict[str, Person]
) -> None:
    lea = people["lea"]
    await branch.change_roles(lea, "lead", "auditor")
    assert (await branch.change_roles(people["ada"], "auditor", "clerk", by=lea)).is_success

    await branch.set_role_expiry(lea, "auditor", datetime.now(UTC) - timedelta(seconds=1))

    answer = await branch.change_roles(people["ada"], "clerk", by=lea)
    refused(answer, 403, "member_above_actor")
    answer = await branch.change_roles(people["nora"], "auditor", by=lea)
    refused(answer, 403, "role_beyond_giver")


async def test_extending_counts_as_giving_and_shortening_does_not(
    branch: Organization, people: dict[str, Person]
) -> None:
    lea = people["lea"]
    await branch.change_roles(lea, "lead", "auditor")
    soon = datetime.now(UTC) + timedelta(days=30)
    await branch.set_role_expiry(lea, "auditor", soon)

    def until(at: datetime | None) -> dict[str, object]:
        end = at.isoformat() if at else None
        return {"roles": [{"role": "lead"}, {"role": "auditor", "expires_at": end}]}

    path = f"{branch.path}/members/{lea.id}/roles"
    sooner = await lea.ask("PUT", path, json=until(soon - timedelta(days=1)))
    assert sooner.status_code == 200
    await branch.set_role_expiry(lea, "auditor", datetime.now(UTC) - timedelta(seconds=1))
    for later in (soon, None):
        refused(await lea.ask("PUT", path, json=until(later)), 403, "role_beyond_giver")


async def test_a_member_who_may_only_invite_can_do_only_that(
    branch: Organization, people: dict[str, Person]
) -> None:
    dan = people["dan"]
    for operation in ("suspend", "remove", "reactivate"):
        problem = refused(
            await branch.change_status(operation, people["carl"], by=dan), 403, "missing_permission"
        )
        assert problem["permission"] == "people_manage"
    refused(await branch.invite("new", ["lead"], by=dan), 403, "role_beyond_giver")
    assert (await branch.invite("new", ["deputy"], by=dan)).status_code == 201


async def test_members_who_may_change_roles_may_give_up_their_own(
    branch: Organization, people: dict[str, Person]
) -> None:
    lea = people["lea"]
    assert (await branch.change_roles(lea, "clerk", by=lea)).status_code == 200
    refused(await branch.change_roles(lea, "lead", by=lea), 403, "missing_permission")
