"""A member asks for something for a while; those who may give it decide, and nobody for themselves."""

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
from tests.support.asking import HOURS, ask, asked, decide, own_role, seen
from tests.support.machines import machine
from tests.support.sides import agreed
from tests.support.steps import end_membership, end_role, enlist, events, members, refused
from tests.support.world import Person, Team


@pytest.fixture
async def bob(acme: Team) -> Person:
    return (await enlist(acme, {"bob": ["support"]}))["bob"]


@pytest.fixture
async def people(branch: Team) -> dict[str, Person]:
    return await enlist(branch, {"lea": ["lead"], "dan": ["deputy"], "carl": ["clerk"], "nora": []})


async def test_what_is_approved_is_a_role_that_ends_so_long_after_the_approval(
    acme: Team, bob: Person
) -> None:
    where = await asked(acme, bob, role="developer")
    assert not await acme.can(bob, "webhooks_create")
    before = datetime.now(UTC)

    answer = await decide(where, "approve", acme.administrator, reason="the release")

    assert answer.status_code == 200, answer.text
    told = answer.json()
    until = datetime.fromisoformat(told["granted_until"])
    assert timedelta(0) <= until - before - timedelta(hours=HOURS) < timedelta(minutes=1)
    assert (told["status"], told["granted_role"]) == ("approved", "developer")
    assert told["decided_by"] == acme.administrator.id
    assert (told["reason"], told["decision_reason"]) == ("a case for tonight", "the release")
    assert await acme.can(bob, "webhooks_create", at=answer.headers["Zed-Token"])
    stamp = format_instant(until)
    assert (await acme.ledger())[-1] == [
        f"TOUCH organization:{acme.id}#developer@user:{bob.id}[expiration:{stamp}]"
    ]
    assert (await members(acme))[bob.id] == ["developer", "support"]
    assert (await bob.ask("GET", where)).json() == told
    await agreed(acme)


async def test_it_may_be_given_for_shorter_and_not_for_longer(acme: Team, bob: Person) -> None:
    where = await asked(acme, bob, role="developer")
    longer = await decide(where, "approve", acme.administrator, duration_hours=HOURS + 1)
    assert refused(longer, 400, "longer_than_asked")["asked"] == HOURS

    answer = await decide(where, "approve", acme.administrator, duration_hours=1)

    until = datetime.fromisoformat(answer.json()["granted_until"])
    assert until < datetime.now(UTC) + timedelta(hours=1)


async def test_a_role_that_ends_is_extended_and_never_shortened(acme: Team, bob: Person) -> None:
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)
    await acme.change_roles(bob, "support", "developer")
    await end_role(acme, bob, "developer", soon)
    where = await asked(acme, bob, role="developer")

    shorter = await decide(where, "approve", acme.administrator, duration_hours=1)

    problem = refused(shorter, 409, "role_held_longer")
    assert problem["until"] == f"until {soon.isoformat()}"
    extended = await decide(where, "approve", acme.administrator)
    assert datetime.fromisoformat(extended.json()["granted_until"]) > soon
    assert len((await acme.ledger())[-1]) == 1


async def test_what_is_held_without_an_end_needs_no_asking(acme: Team, bob: Person) -> None:
    answer = await ask(acme, bob, role="support")
    assert refused(answer, 409, "role_held_longer")["until"] == "without an end"
    where = await asked(acme, bob, role="developer")
    await acme.change_roles(bob, "support", "developer")
    refused(await decide(where, "approve", acme.administrator), 409, "role_held_longer")
    assert (await members(acme))[bob.id] == ["developer", "support"]


async def test_an_end_given_before_the_catalog_said_how_far_is_left_alone(
    acme: Team, bob: Person
) -> None:
    far = datetime(2130, 1, 1, tzinfo=UTC)
    await end_role(acme, bob, "support", far)
    where = await asked(acme, bob, role="developer")
    assert (await decide(where, "approve", acme.administrator)).status_code == 200
    shown = await acme.administrator.ask("GET", f"{acme.path}/members/{bob.id}")
    ends = {each["role"]: each["expires_at"] for each in shown.json()["roles"]}
    assert datetime.fromisoformat(ends["support"]) == far


async def test_for_an_action_the_approver_says_which_role(acme: Team, bob: Person) -> None:
    where = await asked(acme, bob, action="webhooks_create")
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


async def test_where_no_role_allows_it_the_way_out_is_a_role_of_one_s_own(
    acme: Team, bob: Person
) -> None:
    where = await asked(acme, bob, action="transfers_create")
    ana = acme.administrator
    problem = refused(await decide(where, "approve", ana), 409, "no_role_allows")
    assert "Create a role" in problem["detail"]

    await own_role(acme, "treasurer", ["transfers_create"])

    assert refused(await decide(where, "approve", ana), 400, "role_needed")["roles"] == [
        "treasurer"
    ]
    answer = await decide(where, "approve", ana, role="treasurer")
    assert await acme.can(bob, "transfers_create", at=answer.headers["Zed-Token"])
    await agreed(acme)


async def test_what_only_operators_give_is_refused_when_it_is_asked_for(
    acme: Team, bob: Person
) -> None:
    refused(await ask(acme, bob, role="administrator"), 403, "operator_only_role")
    for action in ("users_invite", "users_change_roles", "users_remove"):
        refused(await ask(acme, bob, action=action), 403, "operator_only_action")
    refused(await ask(acme, bob, role="wizard"), 400, "unknown_role")
    refused(await ask(acme, bob, action="wizards_summon"), 400, "unknown_action")
    too_long = 24 * acme.world.service.catalog.longest_days + 1
    refused(await ask(acme, bob, role="developer", duration_hours=too_long), 400, "end_too_far")
    refused(await ask(acme, bob, role="developer", action="links_edit"), 400, "invalid_request")


async def test_another_role_than_the_one_asked_for_is_not_given(acme: Team, bob: Person) -> None:
    where = await asked(acme, bob, role="developer")
    other = await decide(where, "approve", acme.administrator, role="product")
    refused(other, 400, "other_role_asked")
    same = await decide(where, "approve", acme.administrator, role="developer")
    assert same.status_code == 200


@pytest.mark.parametrize("verb", ["approve", "decline"])
async def test_nobody_decides_on_their_own_request(
    branch: Team, people: dict[str, Person], verb: str
) -> None:
    for who, role in ((branch.administrator, "clerk"), (people["lea"], "deputy")):
        where = await asked(branch, who, role=role)
        refused(await decide(where, verb, who), 403, "own_access_request")
    where = await asked(branch, people["carl"], role="deputy")
    refused(await decide(where, verb, people["carl"]), 403, "missing_permission")


@pytest.mark.parametrize("verb", ["approve", "decline"])
async def test_only_who_may_give_it_decides(
    branch: Team, people: dict[str, Person], verb: str
) -> None:
    lea, dan, nora = people["lea"], people["dan"], people["nora"]
    beyond = await asked(branch, nora, role="auditor")
    refused(await decide(beyond, verb, lea, reason="no"), 403, "role_beyond_giver")
    action = await asked(branch, nora, action="house_audit")
    refused(await decide(action, verb, lea), 403, "role_beyond_giver")
    within = await asked(branch, nora, role="deputy")
    refused(await decide(within, verb, dan), 403, "missing_permission")
    assert (await decide(within, verb, lea)).status_code == 200
    assert (await decide(beyond, verb, branch.administrator)).status_code == 200
    assert await branch.can(nora, "house_audit") is (verb == "approve")


async def test_nobody_gives_more_for_an_action_than_they_have(
    branch: Team, people: dict[str, Person]
) -> None:
    where = await asked(branch, people["nora"], action="counter_view")
    answer = await decide(where, "approve", people["lea"], role="auditor")
    refused(answer, 403, "role_beyond_giver")
    told = refused(await decide(where, "approve", people["lea"]), 400, "role_needed")
    assert set(told["roles"]) == {"lead", "deputy", "clerk"}


async def test_nobody_approves_what_somebody_above_them_asks(
    branch: Team, people: dict[str, Person]
) -> None:
    ada = (await enlist(branch, {"ada": ["auditor"]}))["ada"]
    where = await asked(branch, ada, role="deputy")
    refused(await decide(where, "approve", people["lea"]), 403, "member_above_actor")
    assert (await decide(where, "approve", branch.administrator)).status_code == 200


async def test_everybody_sees_their_own_and_what_they_may_give(
    branch: Team, people: dict[str, Person]
) -> None:
    lea, dan, carl, nora = (people[name] for name in ("lea", "dan", "carl", "nora"))
    await own_role(branch, "helper", ["counter_pay"])
    await own_role(branch, "reviewer", ["counter_view", "house_audit"])
    mine = await asked(branch, nora, role="deputy")
    beyond = await asked(branch, nora, action="house_audit")
    own, own_beyond = [await asked(branch, nora, role=role) for role in ("helper", "reviewer")]
    carls = await asked(branch, carl, action="people_view")

    assert await seen(branch, nora) == [own_beyond, own, beyond, mine]
    assert await seen(branch, carl) == [carls]
    assert await seen(branch, dan) == []
    assert await seen(branch, lea) == [carls, own, mine]
    assert await seen(branch, branch.administrator) == [carls, own_beyond, own, beyond, mine]
    assert await seen(branch, branch.administrator, mine="true") == []
    await decide(mine, "decline", lea)
    assert await seen(branch, lea, status="pending") == [carls, own]
    assert await seen(branch, nora, status="declined") == [mine]
    for who, where in ((carl, mine), (dan, mine), (lea, beyond), (lea, own_beyond)):
        refused(await who.ask("GET", where), 404, "unknown_access_request")
    for who, where in ((nora, beyond), (lea, carls), (branch.administrator, beyond)):
        assert (await who.ask("GET", where)).status_code == 200


async def test_a_list_of_requests_comes_in_pages(acme: Team, bob: Person) -> None:
    wanted = [await asked(acme, bob, role=role) for role in ("product", "developer", "operations")]
    first = await bob.ask("GET", f"{acme.path}/access-requests", params={"limit": 2})
    cursor = first.json()["next_cursor"]
    assert await seen(acme, bob, cursor=cursor) == wanted[:1]
    assert len(first.json()["items"]) == 2


async def test_the_asker_and_nobody_else_withdraws(acme: Team, bob: Person) -> None:
    eve = (await enlist(acme, {"eve": ["support"]}))["eve"]
    where = await asked(acme, bob, role="developer")
    for somebody in (eve, acme.administrator):
        answer = await decide(where, "withdraw", somebody)
        refused(answer, 404, "unknown_access_request")
    told = (await decide(where, "withdraw", bob)).json()
    assert (told["status"], told["decided_by"]) == ("withdrawn", bob.id)
    for verb, by in (("approve", acme.administrator), ("decline", acme.administrator)):
        problem = refused(await decide(where, verb, by), 409, "access_request_decided")
        assert f"is withdrawn, so it can't be {verb.rstrip('e')}ed." in problem["detail"]
    refused(await decide(where, "withdraw", bob), 409, "access_request_decided")


async def test_one_thing_is_asked_for_once_at_a_time(acme: Team, bob: Person) -> None:
    where = await asked(acme, bob, role="developer")
    again = refused(await ask(acme, bob, role="developer"), 409, "already_requested")
    assert where.endswith(str(again["request"]))
    await asked(acme, bob, action="webhooks_create")
    refused(await ask(acme, bob, action="webhooks_create"), 409, "already_requested")
    await decide(where, "decline", acme.administrator)
    await asked(acme, bob, role="developer")


async def test_a_suspended_member_is_given_nothing_until_they_are_back(
    acme: Team, bob: Person
) -> None:
    where = await asked(acme, bob, role="developer")
    await acme.act("suspend", bob)
    refused(await ask(acme, bob, role="product"), 404, "unknown_organization")
    refused(await decide(where, "withdraw", bob), 404, "unknown_organization")

    refused(await decide(where, "approve", acme.administrator), 409, "asker_inactive")

    await acme.act("reactivate", bob)
    assert (await decide(where, "approve", acme.administrator)).status_code == 200


async def test_who_is_due_to_go_is_given_nothing(acme: Team, bob: Person) -> None:
    where = await asked(acme, bob, role="developer")
    await end_membership(acme, bob, datetime.now(UTC) - timedelta(seconds=1))
    refused(await decide(where, "approve", acme.administrator), 409, "asker_inactive")


@pytest.mark.parametrize("way", ["remove", "leave"])
async def test_with_the_membership_ends_what_was_asked(acme: Team, bob: Person, way: str) -> None:
    where = await asked(acme, bob, role="developer")
    if way == "remove":
        done = await acme.act("remove", bob)
    else:
        done = await bob.ask("POST", f"{acme.path}/leave")
    assert done.status_code == 204

    told = (await acme.administrator.ask("GET", where)).json()
    assert (told["status"], told["decided_by"]) == ("withdrawn", None)
    refused(await decide(where, "approve", acme.administrator), 409, "access_request_decided")
    said = [each for each in await events(acme) if each.kind == "access_withdrawn"]
    assert [each.details for each in said] == [{"user": bob.id, "because": "membership_ended"}]
    assert said[0].request_id == done.headers["X-Request-Id"]


async def test_an_organization_that_ends_leaves_no_request_open(acme: Team, bob: Person) -> None:
    await asked(acme, bob, role="developer")
    assert (await acme.administrator.ask("DELETE", acme.path)).status_code == 204
    async with acme.world.service.reads() as session:
        mine = select(AccessRequest.status).where(AccessRequest.organization_id == acme.id)
        assert list(await session.scalars(mine)) == ["withdrawn"]


async def test_the_whole_conversation_is_in_the_audit_trail_by_hashes_alone(
    acme: Team, bob: Person
) -> None:
    before = len(await events(acme))
    first = await asked(acme, bob, role="developer", reason="Ticket 4711")
    await decide(first, "approve", acme.administrator, reason="Until it works", duration_hours=2)
    second = await asked(acme, bob, action="transfers_view")
    await decide(second, "decline", acme.administrator)
    await decide(await asked(acme, bob, role="product"), "withdraw", bob)

    told = (await events(acme))[before:]

    assert [each.kind for each in told] == [
        *("access_requested", "access_approved", "access_requested", "access_declined"),
        *("access_requested", "access_withdrawn"),
    ]
    asks, approval, _, refusal, _, back = told
    assert asks.details == {"role": "developer", "hours": HOURS}
    assert approval.details["user"] == bob.id
    assert approval.details["role"] == "developer"
    assert asks.subject == approval.subject == f"access_request:{first.rpartition('/')[2]}"
    assert (refusal.reason_hash, back.reason_hash) == (None, None)
    async with acme.world.service.reads() as session:
        for event, text in ((asks, "Ticket 4711"), (approval, "Until it works")):
            kept = await session.get_one(Reason, event.reason_hash)
            assert kept.text == text
            assert text not in str(event.details)


async def test_a_reason_that_is_erased_is_shown_no_more(acme: Team, bob: Person) -> None:
    where = await asked(acme, bob, role="developer", reason="For my doctor")
    request_id = where.rpartition("/")[2]
    async with acme.world.service.sessions.begin() as session:
        hash = await session.scalar(
            select(AccessRequest.reason_hash).where(AccessRequest.id == request_id)
        )
        await session.execute(delete(Reason).where(Reason.hash == hash))
    assert (await bob.ask("GET", where)).json()["reason"] is None


async def test_a_member_asks_for_so_much_at_a_time_and_so_often_in_a_day(
    acme: Team, bob: Person
) -> None:
    at_once = acme.world.service.ledger.limits.open_access_requests
    a_day = acme.world.service.ledger.limits.access_requests_a_day
    actions = sorted(
        each.id for each in acme.world.service.catalog.actions.values() if not each.reserved
    )
    for action in actions[:at_once]:
        await asked(acme, bob, action=action)
    refused(await ask(acme, bob, action=actions[at_once]), 429, "too_many_open_requests")
    eve = (await enlist(acme, {"eve": ["support"]}))["eve"]
    assert (await ask(acme, eve, action=actions[0])).status_code == 201
    mine = await seen(acme, bob)
    await asyncio.gather(*(decide(where, "withdraw", bob) for where in mine))
    for _ in range(a_day - at_once):
        await decide(await asked(acme, bob, action=actions[0]), "withdraw", bob)
    refused(await ask(acme, bob, action=actions[0]), 429, "asked_too_often")


async def test_a_request_of_another_tenant_is_none(acme: Team, globex: Team, bob: Person) -> None:
    where = await asked(acme, bob, role="developer")
    foreign = where.replace(acme.id, globex.id)
    for verb in ("approve", "decline", "withdraw"):
        answer = await decide(foreign, verb, globex.administrator)
        refused(answer, 404, "unknown_access_request")
        refused(await decide(where, verb, globex.administrator), 404, "unknown_organization")
    refused(await globex.administrator.ask("GET", foreign), 404, "unknown_access_request")
    refused(await globex.administrator.ask("GET", where), 404, "unknown_organization")


async def test_a_role_that_is_gone_is_not_given(acme: Team, bob: Person) -> None:
    await own_role(acme, "treasurer", ["transfers_create"])
    where = await asked(acme, bob, role="treasurer")
    async with acme.world.operator(acme.id) as change:
        role = await change.session.get_one(CustomRole, (acme.id, RoleId("treasurer")))
        await change.session.delete(role)
    refused(await decide(where, "approve", acme.administrator), 400, "unknown_role")
    assert (await decide(where, "decline", acme.administrator)).status_code == 200


async def test_approved_ten_times_at_once_is_approved_once(acme: Team, bob: Person) -> None:
    where = await asked(acme, bob, role="developer")
    before = len(await acme.ledger())
    others = (await enlist(acme, {f"a{n}": ["administrator"] for n in range(3)})).values()

    answers = await asyncio.gather(
        *(decide(where, "approve", by) for by in (acme.administrator, *others) for _ in range(3))
    )

    codes = sorted(answer.status_code for answer in answers)
    assert codes == [200] + [409] * (len(answers) - 1)
    assert len(await acme.ledger()) == before + 2  # those who were enlisted, and the approval
    assert [each.kind for each in await events(acme)].count("access_approved") == 1
    await agreed(acme)


async def test_a_machine_that_acts_for_somebody_approves_nothing_of_its_own(
    acme: Team, bob: Person
) -> None:
    where = await asked(acme, bob, role="developer")
    both = f"user:{acme.administrator.id} via user:{bob.id}"
    through = Attribution(both, Channel.API, "tests")
    for verb in (decision.approve, decision.decline):
        async with acme.world.service.ledger.change(through, acme.id) as change:
            with pytest.raises(decision.OwnAccessRequest):
                await verb(change, RequestId(where.rpartition("/")[2]))


@pytest.mark.parametrize("verb", ["approve", "decline"])
async def test_not_even_a_machine_of_ones_own_approves_what_one_asks_for(
    branch: Team, people: dict[str, Person], verb: str
) -> None:
    job = await machine(branch, "lead")
    where = await asked(branch, people["nora"], role="deputy")
    refused(await decide(where, verb, job), 403, "people_decide")
    assert (await decide(where, verb, people["lea"])).status_code == 200
