"""A member requests access for some time.

Members who may give it decide, but never for themselves.
"""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete, select

from teamaccess.directory.access_requests import decide as decision
from teamaccess.ledger import Attribution
from teamaccess.relationships.relationship import format_instant
from teamaccess.storage import (
    AccessRequest,
    Channel,
    CustomRole,
    Reason,
    RequestId,
    RoleId,
)
from tests.support.access_requests import (
    HOURS,
    create_access_request,
    decide,
    list_access_requests,
    request_access,
)
from tests.support.agreement import assert_agreement
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.responses import refused


@pytest.fixture
async def bob(acme: Organization) -> Person:
    return (await acme.add_members({"bob": ["support"]}))["bob"]


@pytest.fixture
async def people(branch: Organization) -> dict[str, Person]:
    return await branch.add_members(
        {"lea": ["lead"], "dan": ["deputy"], "carl": ["clerk"], "nora": []}
    )


async def test_an_approval_assigns_the_role_for_the_requested_time(
    acme: Organization, bob: Person
) -> None:
    where = await create_access_request(acme, bob, role="developer")
    assert not await acme.can(bob, "webhooks_create")
    before = datetime.now(UTC)

    answer = await decide(where, "approve", acme.administrator, reason="the release")

    assert answer.status_code == 200, answer.text
    reported = answer.json()
    until = datetime.fromisoformat(reported["granted_until"])
    assert timedelta(0) <= until - before - timedelta(hours=HOURS) < timedelta(minutes=1)
    assert (reported["status"], reported["granted_role"]) == ("approved", "developer")
    assert reported["decided_by"] == acme.administrator.id
    assert (reported["reason"], reported["decision_reason"]) == (
        "a case for tonight",
        "the release",
    )
    assert await acme.can(bob, "webhooks_create", at=answer.headers["Zed-Token"])
    stamp = format_instant(until)
    assert (await acme.ledger())[-1] == [
        f"TOUCH organization:{acme.id}#developer@user:{bob.id}[expiration:{stamp}]"
    ]
    assert (await acme.roles_by_member())[bob.id] == ["developer", "support"]
    assert (await bob.ask("GET", where)).json() == reported
    await assert_agreement(acme)


async def test_an_approval_may_be_shorter_but_not_longer_than_requested(
    acme: Organization, bob: Person
) -> None:
    where = await create_access_request(acme, bob, role="developer")
    longer = await decide(where, "approve", acme.administrator, duration_hours=HOURS + 1)
    assert refused(longer, 400, "longer_than_asked")["asked"] == HOURS

    answer = await decide(where, "approve", acme.administrator, duration_hours=1)

    until = datetime.fromisoformat(answer.json()["granted_until"])
    assert until < datetime.now(UTC) + timedelta(hours=1)


async def test_an_approval_extends_a_temporary_role_and_never_shortens_it(
    acme: Organization, bob: Person
) -> None:
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
    await acme.change_roles(bob, "support", "developer")
    await acme.set_role_expiry(bob, "developer", soon)
    where = await create_access_request(acme, bob, role="developer")

    shorter = await decide(where, "approve", acme.administrator, duration_hours=1)

    problem = refused(shorter, 409, "role_held_longer")
    assert problem["until"] == f"until {soon.isoformat()}"
    extended = await decide(where, "approve", acme.administrator)
    assert datetime.fromisoformat(extended.json()["granted_until"]) > soon
    assert len((await acme.ledger())[-1]) == 1


async def test_a_role_without_expiry_cannot_be_requested_again(
    acme: Organization, bob: Person
) -> None:
    answer = await request_access(acme, bob, role="support")
    assert refused(answer, 409, "role_held_longer")["until"] == "without an end"
    where = await create_access_request(acme, bob, role="developer")
    await acme.change_roles(bob, "support", "developer")
    refused(await decide(where, "approve", acme.administrator), 409, "role_held_longer")
    assert (await acme.roles_by_member())[bob.id] == ["developer", "support"]


async def test_an_expiry_beyond_a_later_limit_of_the_catalog_is_left_alone(
    acme: Organization, bob: Person
) -> None:
    far = datetime(2130, 1, 1, tzinfo=UTC)
    await acme.set_role_expiry(bob, "support", far)
    where = await create_access_request(acme, bob, role="developer")
    assert (await decide(where, "approve", acme.administrator)).status_code == 200
    shown = await acme.administrator.ask("GET", f"{acme.path}/members/{bob.id}")
    ends = {each["role"]: each["expires_at"] for each in shown.json()["roles"]}
    assert datetime.fromisoformat(ends["support"]) == far


async def test_the_approver_of_an_action_chooses_the_role(acme: Organization, bob: Person) -> None:
    where = await create_access_request(acme, bob, action="webhooks_create")
    ana = acme.administrator

    problem = refused(await decide(where, "approve", ana), 400, "role_needed")

    assert problem["roles"] == ["developer"]
    without = await decide(where, "approve", ana, role="support")
    refused(without, 400, "role_without_action")
    refused(await decide(where, "approve", ana, role="wizard"), 400, "unknown_role")
    refused(await decide(where, "approve", ana, role="administrator"), 403, "operator_only_role")
    answer = await decide(where, "approve", ana, role="developer")
    assert answer.json()["granted_role"] == "developer"
    assert await acme.can(bob, "webhooks_create", at=answer.headers["Zed-Token"])


async def test_an_action_that_no_role_allows_needs_a_custom_role(
    acme: Organization, bob: Person
) -> None:
    where = await create_access_request(acme, bob, action="transfers_create")
    ana = acme.administrator
    problem = refused(await decide(where, "approve", ana), 409, "no_role_allows")
    assert "Create a role" in problem["detail"]

    await acme.add_custom_role("treasurer", "transfers_create")

    assert refused(await decide(where, "approve", ana), 400, "role_needed")["roles"] == [
        "treasurer"
    ]
    answer = await decide(where, "approve", ana, role="treasurer")
    assert await acme.can(bob, "transfers_create", at=answer.headers["Zed-Token"])
    await assert_agreement(acme)


async def test_a_request_for_a_role_that_only_operators_give_is_refused(
    acme: Organization, bob: Person
) -> None:
    refused(await request_access(acme, bob, role="administrator"), 403, "operator_only_role")
    for action in ("users_invite", "users_change_roles", "users_remove"):
        refused(await request_access(acme, bob, action=action), 403, "operator_only_action")
    refused(await request_access(acme, bob, role="wizard"), 400, "unknown_role")
    refused(await request_access(acme, bob, action="wizards_summon"), 400, "unknown_action")
    too_long = 24 * acme.deployment.service.catalog.longest_days + 1
    refused(
        await request_access(acme, bob, role="developer", duration_hours=too_long),
        400,
        "end_too_far",
    )
    refused(
        await request_access(acme, bob, role="developer", action="links_edit"),
        400,
        "invalid_request",
    )


async def test_an_approval_cannot_name_another_role_than_the_requested_one(
    acme: Organization, bob: Person
) -> None:
    where = await create_access_request(acme, bob, role="developer")
    other = await decide(where, "approve", acme.administrator, role="product")
    refused(other, 400, "other_role_asked")
    same = await decide(where, "approve", acme.administrator, role="developer")
    assert same.status_code == 200


@pytest.mark.parametrize("verb", ["approve", "decline"])
async def test_members_cannot_decide_on_their_own_request(
    branch: Organization, people: dict[str, Person], verb: str
) -> None:
    for who, role in ((branch.administrator, "clerk"), (people["lea"], "deputy")):
        where = await create_access_request(branch, who, role=role)
        refused(await decide(where, verb, who), 403, "own_access_request")
    where = await create_access_request(branch, people["carl"], role="deputy")
    refused(await decide(where, verb, people["carl"]), 403, "missing_permission")


@pytest.mark.parametrize("verb", ["approve", "decline"])
async def test_only_members_who_may_give_the_role_decide(
    branch: Organization, people: dict[str, Person], verb: str
) -> None:
    lea, dan, nora = people["lea"], people["dan"], people["nora"]
    beyond = await create_access_request(branch, nora, role="auditor")
    refused(await decide(beyond, verb, lea, reason="no"), 403, "role_beyond_giver")
    action = await create_access_request(branch, nora, action="house_audit")
    refused(await decide(action, verb, lea), 403, "role_beyond_giver")
    within = await create_access_request(branch, nora, role="deputy")
    refused(await decide(within, verb, dan), 403, "missing_permission")
    assert (await decide(within, verb, lea)).status_code == 200
    assert (await decide(beyond, verb, branch.administrator)).status_code == 200
    assert await branch.can(nora, "house_audit") is (verb == "approve")


async def test_an_approver_cannot_give_a_role_beyond_their_own_for_an_action(
    branch: Organization, people: dict[str, Person]
) -> None:
    where = await create_access_request(branch, people["nora"], action="counter_view")
    answer = await decide(where, "approve", people["lea"], role="auditor")
    refused(answer, 403, "role_beyond_giver")
    reported = refused(await decide(where, "approve", people["lea"]), 400, "role_needed")
    assert set(reported["roles"]) == {"lead", "deputy", "registrar", "clerk"}


async def test_members_cannot_approve_a_request_of_a_member_above_them(
    branch: Organization, people: dict[str, Person]
) -> None:
    ada = (await branch.add_members({"ada": ["auditor"]}))["ada"]
    where = await create_access_request(branch, ada, role="deputy")
    refused(await decide(where, "approve", people["lea"]), 403, "member_above_actor")
    assert (await decide(where, "approve", branch.administrator)).status_code == 200


async def test_members_see_their_own_requests_and_those_they_may_decide(
    branch: Organization, people: dict[str, Person]
) -> None:
    lea, dan, carl, nora = (people[name] for name in ("lea", "dan", "carl", "nora"))
    await branch.add_custom_role("helper", "counter_pay")
    await branch.add_custom_role("reviewer", "counter_view", "house_audit")
    mine = await create_access_request(branch, nora, role="deputy")
    beyond = await create_access_request(branch, nora, action="house_audit")
    own, own_beyond = [
        await create_access_request(branch, nora, role=role) for role in ("helper", "reviewer")
    ]
    carls = await create_access_request(branch, carl, action="people_view")

    assert await list_access_requests(branch, nora) == [own_beyond, own, beyond, mine]
    assert await list_access_requests(branch, carl) == [carls]
    assert await list_access_requests(branch, dan) == []
    assert await list_access_requests(branch, lea) == [carls, own, mine]
    assert await list_access_requests(branch, branch.administrator) == [
        carls,
        own_beyond,
        own,
        beyond,
        mine,
    ]
    assert await list_access_requests(branch, branch.administrator, mine="true") == []
    await decide(mine, "decline", lea)
    assert await list_access_requests(branch, lea, status="pending") == [carls, own]
    assert await list_access_requests(branch, nora, status="declined") == [mine]
    for who, where in ((carl, mine), (dan, mine), (lea, beyond), (lea, own_beyond)):
        refused(await who.ask("GET", where), 404, "unknown_access_request")
    for who, where in ((nora, beyond), (lea, carls), (branch.administrator, beyond)):
        assert (await who.ask("GET", where)).status_code == 200


async def test_a_list_of_requests_comes_in_pages(acme: Organization, bob: Person) -> None:
    wanted = [
        await create_access_request(acme, bob, role=role)
        for role in ("product", "developer", "operations")
    ]
    first = await bob.ask("GET", f"{acme.path}/access-requests", params={"limit": 2})
    cursor = first.json()["next_cursor"]
    assert await list_access_requests(acme, bob, cursor=cursor) == wanted[:1]
    assert len(first.json()["items"]) == 2


async def test_only_the_requester_withdraws_a_request(acme: Organization, bob: Person) -> None:
    eve = (await acme.add_members({"eve": ["support"]}))["eve"]
    where = await create_access_request(acme, bob, role="developer")
    for somebody in (eve, acme.administrator):
        answer = await decide(where, "withdraw", somebody)
        refused(answer, 404, "unknown_access_request")
    reported = (await decide(where, "withdraw", bob)).json()
    assert (reported["status"], reported["decided_by"]) == ("withdrawn", bob.id)
    for verb, by in (("approve", acme.administrator), ("decline", acme.administrator)):
        problem = refused(await decide(where, verb, by), 409, "access_request_decided")
        assert f"is withdrawn, so it can't be {verb.rstrip('e')}ed." in problem["detail"]
    refused(await decide(where, "withdraw", bob), 409, "access_request_decided")


async def test_a_member_has_one_open_request_for_a_role_at_a_time(
    acme: Organization, bob: Person
) -> None:
    where = await create_access_request(acme, bob, role="developer")
    again = refused(await request_access(acme, bob, role="developer"), 409, "already_requested")
    assert where.endswith(str(again["request"]))
    await create_access_request(acme, bob, action="webhooks_create")
    refused(await request_access(acme, bob, action="webhooks_create"), 409, "already_requested")
    await decide(where, "decline", acme.administrator)
    await create_access_request(acme, bob, role="developer")


async def test_a_suspended_member_gets_nothing_until_they_are_reactivated(
    acme: Organization, bob: Person
) -> None:
    where = await create_access_request(acme, bob, role="developer")
    await acme.suspend(bob)
    refused(await request_access(acme, bob, role="product"), 404, "unknown_organization")
    refused(await decide(where, "withdraw", bob), 404, "unknown_organization")

    refused(await decide(where, "approve", acme.administrator), 409, "asker_inactive")

    await acme.reactivate(bob)
    assert (await decide(where, "approve", acme.administrator)).status_code == 200


async def test_a_member_whose_membership_has_expired_gets_nothing(
    acme: Organization, bob: Person
) -> None:
    where = await create_access_request(acme, bob, role="developer")
    await acme.set_membership_expiry(bob, datetime.now(UTC) - timedelta(seconds=1))
    refused(await decide(where, "approve", acme.administrator), 409, "asker_inactive")


@pytest.mark.parametrize("way", ["remove", "leave"])
async def test_the_end_of_a_membership_withdraws_its_requests(
    acme: Organization, bob: Person, way: str
) -> None:
    where = await create_access_request(acme, bob, role="developer")
    if way == "remove":
        done = await acme.remove(bob)
    else:
        done = await bob.ask("POST", f"{acme.path}/leave")
    assert done.status_code == 204

    reported = (await acme.administrator.ask("GET", where)).json()
    assert (reported["status"], reported["decided_by"]) == ("withdrawn", None)
    refused(await decide(where, "approve", acme.administrator), 409, "access_request_decided")
    withdrawals = [each for each in await acme.events() if each.kind == "access_withdrawn"]
    assert [each.details for each in withdrawals] == [
        {"user": bob.id, "because": "membership_ended"}
    ]
    assert withdrawals[0].request_id == done.headers["X-Request-Id"]


async def test_deleting_an_organization_closes_its_requests(
    acme: Organization, bob: Person
) -> None:
    await create_access_request(acme, bob, role="developer")
    assert (await acme.administrator.ask("DELETE", acme.path)).status_code == 204
    async with acme.deployment.service.reads() as session:
        mine = select(AccessRequest.status).where(AccessRequest.organization_id == acme.id)
        assert list(await session.scalars(mine)) == ["withdrawn"]


async def test_the_audit_trail_contains_only_hashes_of_the_reasons(
    acme: Organization, bob: Person
) -> None:
    before = len(await acme.events())
    first = await create_access_request(acme, bob, role="developer", reason="Ticket 4711")
    await decide(first, "approve", acme.administrator, reason="Until it works", duration_hours=2)
    second = await create_access_request(acme, bob, action="transfers_view")
    await decide(second, "decline", acme.administrator)
    await decide(await create_access_request(acme, bob, role="product"), "withdraw", bob)

    reported = (await acme.events())[before:]

    assert [each.kind for each in reported] == [
        *("access_requested", "access_approved", "access_requested", "access_declined"),
        *("access_requested", "access_withdrawn"),
    ]
    asks, approval, _, refusal, _, back = reported
    assert asks.details == {"role": "developer", "hours": HOURS}
    assert approval.details["user"] == bob.id
    assert approval.details["role"] == "developer"
    assert asks.subject == approval.subject == f"access_request:{first.rpartition('/')[2]}"
    assert (refusal.reason_hash, back.reason_hash) == (None, None)
    async with acme.deployment.service.reads() as session:
        for event, text in ((asks, "Ticket 4711"), (approval, "Until it works")):
            kept = await session.get_one(Reason, event.reason_hash)
            assert kept.text == text
            assert text not in str(event.details)


async def test_an_erased_reason_is_no_longer_shown(acme: Organization, bob: Person) -> None:
    where = await create_access_request(acme, bob, role="developer", reason="For my doctor")
    request_id = where.rpartition("/")[2]
    async with acme.deployment.service.sessions.begin() as session:
        hash = await session.scalar(
            select(AccessRequest.reason_hash).where(AccessRequest.id == request_id)
        )
        await session.execute(delete(Reason).where(Reason.hash == hash))
    assert (await bob.ask("GET", where)).json()["reason"] is None


async def test_a_member_has_limits_of_open_requests_and_of_requests_a_day(
    acme: Organization, bob: Person
) -> None:
    at_once = acme.deployment.service.ledger.limits.open_access_requests
    a_day = acme.deployment.service.ledger.limits.access_requests_a_day
    actions = sorted(
        each.id for each in acme.deployment.service.catalog.actions.values() if not each.reserved
    )
    for action in actions[:at_once]:
        await create_access_request(acme, bob, action=action)
    refused(await request_access(acme, bob, action=actions[at_once]), 429, "too_many_open_requests")
    eve = (await acme.add_members({"eve": ["support"]}))["eve"]
    assert (await request_access(acme, eve, action=actions[0])).status_code == 201
    mine = await list_access_requests(acme, bob)
    await asyncio.gather(*(decide(where, "withdraw", bob) for where in mine))
    for _ in range(a_day - at_once):
        await decide(await create_access_request(acme, bob, action=actions[0]), "withdraw", bob)
    refused(await request_access(acme, bob, action=actions[0]), 429, "asked_too_often")


async def test_a_request_of_another_tenant_is_unknown(
    acme: Organization, globex: Organization, bob: Person
) -> None:
    where = await create_access_request(acme, bob, role="developer")
    foreign = where.replace(acme.id, globex.id)
    for verb in ("approve", "decline", "withdraw"):
        answer = await decide(foreign, verb, globex.administrator)
        refused(answer, 404, "unknown_access_request")
        refused(await decide(where, verb, globex.administrator), 404, "unknown_organization")
    refused(await globex.administrator.ask("GET", foreign), 404, "unknown_access_request")
    refused(await globex.administrator.ask("GET", where), 404, "unknown_organization")


async def test_a_deleted_role_cannot_be_approved(acme: Organization, bob: Person) -> None:
    await acme.add_custom_role("treasurer", "transfers_create")
    where = await create_access_request(acme, bob, role="treasurer")
    async with acme.deployment.operator(acme.id) as change:
        role = await change.session.get_one(CustomRole, (acme.id, RoleId("treasurer")))
        await change.session.delete(role)
    refused(await decide(where, "approve", acme.administrator), 400, "unknown_role")
    assert (await decide(where, "decline", acme.administrator)).status_code == 200


async def test_ten_concurrent_approvals_count_once(acme: Organization, bob: Person) -> None:
    where = await create_access_request(acme, bob, role="developer")
    before = len(await acme.ledger())
    others = (await acme.add_members({f"a{n}": ["administrator"] for n in range(3)})).values()

    answers = await asyncio.gather(
        *(decide(where, "approve", by) for by in (acme.administrator, *others) for _ in range(3))
    )

    codes = sorted(answer.status_code for answer in answers)
    assert codes == [200] + [409] * (len(answers) - 1)
    assert len(await acme.ledger()) == before + 2  # the two added members, and the approval
    assert [each.kind for each in await acme.events()].count("access_approved") == 1
    await assert_agreement(acme)


async def test_a_service_account_on_behalf_of_a_member_cannot_approve_its_own_request(
    acme: Organization, bob: Person
) -> None:
    where = await create_access_request(acme, bob, role="developer")
    both = f"user:{acme.administrator.id} via user:{bob.id}"
    through = Attribution(both, Channel.API, "tests")
    for verb in (decision.approve, decision.decline):
        async with acme.deployment.service.ledger.change(through, acme.id) as change:
            with pytest.raises(decision.OwnAccessRequest):
                await verb(change, RequestId(where.rpartition("/")[2]))


@pytest.mark.parametrize("verb", ["approve", "decline"])
async def test_a_member_cannot_approve_their_own_request_through_a_service_account(
    branch: Organization, people: dict[str, Person], verb: str
) -> None:
    job = await branch.add_service_account("lead")
    where = await create_access_request(branch, people["nora"], role="deputy")
    refused(await decide(where, verb, job), 403, "people_decide")
    assert (await decide(where, verb, people["lea"])).status_code == 200
