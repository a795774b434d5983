"""What would allow what somebody cannot do, and who may make it."""

from datetime import timedelta

import pytest

from teamaccess.audit.questions.why import why as ask
from teamaccess.audit.remedies.remedies import remedies_for
from teamaccess.engine import EngineUnavailable
from teamaccess.ledger import OrganizationBusy, OrganizationStopped
from tests.audit.remedies.making import by_operator, changes, held, make, named, why
from tests.support.machines import custom_role, machine
from tests.support.objects import grant, granted, may, register, registered, role_of, to
from tests.support.steps import end_membership, end_role, enlist, events
from tests.support.teams import Crew
from tests.support.world import Team


async def test_the_suspended_are_reactivated_and_who_may_is_named(acme: Team) -> None:
    bob = await acme.member("bob", ["support"])
    await acme.act("suspend", bob)
    [remedy] = (await why(acme, bob, "refunds_create"))["remedies"]
    assert changes(remedy) == [("reactivate", None)]
    assert remedy["steps"][0]["sentence"] == f"Reactivate {bob.email}."
    assert remedy["by"] == [
        {"user": acme.administrator.id, "email": acme.administrator.email, "name": None}
    ]
    assert (remedy["more"], remedy["operator"]) == (0, False)
    assert "links_access" in remedy["adds"]
    assert "refunds_create" not in remedy["adds"]
    await make(acme, bob, remedy, acme.administrator, "refunds_create")
    assert await acme.can(bob, "refunds_create")


async def test_of_the_roles_that_have_it_the_least_is_named(acme: Team) -> None:
    bob = await acme.member("bob", ["product"])
    await end_role(acme, bob, "product", await acme.world.service.now() + timedelta(days=3))
    [remedy] = (await why(acme, bob, "refunds_create"))["remedies"]
    assert changes(remedy) == [("give_role", "support")]
    assert remedy["adds"] == ["refunds_cancel"]
    before = await held(acme, bob)
    await make(acme, bob, remedy, acme.administrator, "refunds_create")
    assert await acme.can(bob, "refunds_create")
    assert before[0] in await held(acme, bob)


async def test_a_role_of_the_organization_s_own_is_less_than_any_of_the_catalog_s(
    acme: Team,
) -> None:
    await custom_role(acme, "refunder", "refunds_create")
    await custom_role(acme, "broader", "refunds_create", "api_keys_view")
    bob = (await enlist(acme, {"bob": []}))["bob"]
    [remedy] = (await why(acme, bob, "refunds_create"))["remedies"]
    assert changes(remedy) == [("give_role", "refunder")]
    assert remedy["adds"] == []


async def test_roles_of_which_none_is_less_than_the_other_are_both_named(acme: Team) -> None:
    await custom_role(acme, "keys", "webhooks_create", "api_keys_view")
    await custom_role(acme, "links", "webhooks_create", "links_edit", "links_delete")
    bob = (await enlist(acme, {"bob": []}))["bob"]
    remedies = (await why(acme, bob, "webhooks_create"))["remedies"]
    assert list(map(changes, remedies)) == [[("give_role", "keys")], [("give_role", "links")]]


async def test_the_suspended_who_lack_a_role_take_two_steps(acme: Team) -> None:
    bob = await acme.member("bob", ["product"])
    await acme.act("suspend", bob)
    [remedy] = (await why(acme, bob, "refunds_create"))["remedies"]
    assert changes(remedy) == [("reactivate", None), ("give_role", "support")]
    done = await make(acme, bob, remedy, acme.administrator, "refunds_create")
    assert [each.status_code for each in done] == [204, 200]
    assert await acme.can(bob, "refunds_create")


async def test_a_team_that_has_it_is_a_way_and_its_grants_are_told(acme: Team) -> None:
    await registered(acme, "webhook:wh_1")
    small, large = await Crew.made(acme, "small", "support"), await Crew.made(acme, "large")
    await large.hold("support", "developer")
    (await grant(acme, "webhook:wh_1", to("small", "edit"))).raise_for_status()
    bob = await acme.member("bob", ["product"])
    remedies = (await why(acme, bob, "refunds_create"))["remedies"]
    assert list(map(changes, remedies)) == [[("give_role", "support")], [("join_team", "small")]]
    assert remedies[1]["adds"] == [f"edit webhook:{acme.id}/wh_1", "refunds_cancel"]
    await make(acme, bob, remedies[1], acme.administrator, "refunds_create")
    assert bob.id in await small.seated()
    assert await acme.can(bob, "refunds_create")
    assert await may(acme, bob, "webhook:wh_1", "edit")


async def test_a_grant_on_the_object_adds_nothing_and_comes_first(acme: Team) -> None:
    await registered(acme, "webhook:wh_1")
    eve, bob = (await enlist(acme, {"eve": [], "bob": []})).values()
    (await grant(acme, "webhook:wh_1", to(eve, "edit"))).raise_for_status()
    remedies = (await why(acme, bob, "edit", "webhook:wh_1"))["remedies"]
    assert changes(remedies[0]) == [("grant", f"webhook:{acme.id}/wh_1")]
    assert remedies[0]["adds"] == []
    assert changes(remedies[1]) == [("give_role", "developer")]
    assert "webhooks_edit" in remedies[1]["adds"]
    await make(acme, bob, remedies[0], acme.administrator, "edit")
    assert await may(acme, bob, "webhook:wh_1", "edit")
    assert await may(acme, eve, "webhook:wh_1", "edit")


async def test_four_eyes_have_no_remedy_and_others_are_named(acme: Team) -> None:
    bob = (await enlist(acme, {"bob": []}))["bob"]
    await registered(acme, "transfer:t1", creator=acme.administrator)
    (await grant(acme, "transfer:t1")).raise_for_status()
    await role_of(acme, "authorizer", ["transfers_authorize"], bob)
    found = await why(acme, acme.administrator, "authorize", "transfer:t1")
    assert found["remedies"] == []
    assert "somebody else must" in found["no_remedy"]
    assert [each["user"] for each in found["instead"]["people"]] == [bob.id]
    assert found["instead"]["more"] == 0


async def test_the_suspended_creator_is_not_helped_by_coming_back(acme: Team) -> None:
    bob = (await enlist(acme, {"bob": []}))["bob"]
    await role_of(acme, "authorizer", ["transfers_authorize"], bob)
    await registered(acme, "transfer:t1", creator=bob)
    await acme.act("suspend", bob)
    found = await why(acme, bob, "authorize", "transfer:t1")
    assert found["remedies"] == []
    assert [each["user"] for each in found["instead"]["people"]] == [acme.administrator.id]


async def test_a_stranger_is_invited_with_the_least_role(acme: Team, globex: Team) -> None:
    zoe = await globex.member("zoe", ["support"])
    [remedy] = (await why(acme, zoe, "refunds_create"))["remedies"]
    assert changes(remedy) == [("invite", "support")]
    assert named(remedy) == [acme.administrator.id]
    await make(acme, zoe, remedy, acme.administrator, "refunds_create")
    assert await acme.can(zoe, "refunds_create")


async def test_who_is_invited_already_accepts_or_is_invited_anew(acme: Team, globex: Team) -> None:
    zoe = await globex.member("zoe", ["support"])
    body = {"email": zoe.email, "roles": ["operations"]}
    (await acme.administrator.ask("POST", f"{acme.path}/invitations", json=body)).raise_for_status()
    anew, accepting = (await why(acme, zoe, "refunds_create"))["remedies"]
    assert [kind for kind, _ in changes(accepting)] == ["accept_invitation"]
    assert named(accepting) == [zoe.id]
    assert changes(anew) == [("cancel_invitation", None), ("invite", "support")]
    await make(acme, zoe, accepting, zoe, "refunds_create")
    assert await acme.can(zoe, "refunds_create")


async def test_what_only_administrators_of_fintoc_do_an_operator_gives(acme: Team) -> None:
    bob = await acme.member("bob", ["support"])
    [remedy] = (await why(acme, bob, "users_invite"))["remedies"]
    assert (remedy["operator"], remedy["by"], remedy["more"]) == (True, [], 0)
    assert remedy["steps"][0]["command"] == (
        f"teamaccess operator grant-administrator {acme.id} {bob.email} --reason TEXT"
    )
    assert "webhooks_create" in remedy["adds"]
    await by_operator(acme, bob)
    assert await acme.can(bob, "users_invite")


async def test_an_operator_is_the_last_resort(acme: Team) -> None:
    bob = await acme.member("bob", ["support"])
    await custom_role(acme, "networks", "cidr_blocks_access")
    [remedy] = (await why(acme, bob, "cidr_blocks_access"))["remedies"]
    assert (changes(remedy), remedy["operator"]) == ([("give_role", "networks")], False)
    await registered(acme, "transfer:t1", creator=acme.administrator)
    [remedy] = (await why(acme, bob, "view", "transfer:t1"))["remedies"]
    assert changes(remedy) == [("grant", f"transfer:{acme.id}/t1")]


async def test_an_administrator_of_finicom_makes_another_where_no_less_will_do(
    initech: Team,
) -> None:
    bob = await initech.member("bob", ["write"])
    [remedy] = (await why(initech, bob, "members_invite"))["remedies"]
    assert (changes(remedy), remedy["operator"]) == ([("give_role", "admin")], False)
    assert named(remedy) == [initech.administrator.id]
    await make(initech, bob, remedy, initech.administrator, "members_invite")
    assert await initech.can(bob, "members_invite")


async def test_whose_membership_has_ended_is_kept_by_who_may_give_all_of_it(acme: Team) -> None:
    bob = await acme.member("bob", ["support"])
    await end_membership(acme, bob, await acme.world.service.now() - timedelta(hours=1))
    [remedy] = (await why(acme, bob, "refunds_create"))["remedies"]
    assert changes(remedy) == [("change_end", None)]
    await make(acme, bob, remedy, acme.administrator, "refunds_create")
    assert await acme.can(bob, "refunds_create")


async def test_an_administrator_of_fintoc_whose_membership_has_ended_takes_an_operator(
    acme: Team,
) -> None:
    bob = (await enlist(acme, {"bob": []}))["bob"]
    await by_operator(acme, bob)
    await end_membership(acme, bob, await acme.world.service.now() - timedelta(hours=1))
    [remedy] = (await why(acme, bob, "refunds_create"))["remedies"]
    assert (changes(remedy), remedy["operator"]) == (
        [("grant_administrator", "administrator")],
        True,
    )


async def test_who_has_the_guard_and_not_the_action_is_not_named(acme: Team) -> None:
    crew = await Crew.made(acme, "pay", "support")
    mal, eve, bob = (await enlist(acme, {"mal": [], "eve": ["support"], "bob": []})).values()
    await role_of(acme, "teams", ["teams_manage"], mal, eve)
    remedies = (await why(acme, bob, "refunds_create"))["remedies"]
    [joining] = [each for each in remedies if changes(each) == [("join_team", "pay")]]
    assert set(named(joining)) == {acme.administrator.id, eve.id}
    assert (await crew.put(bob, by=mal)).status_code == 403
    assert (await crew.put(bob, by=eve)).status_code == 200


async def test_in_the_middle_who_is_below_the_member_is_not_named(branch: Team) -> None:
    people = await enlist(
        branch, {"lea": ["lead"], "leo": ["lead"], "bob": ["auditor"], "eve": ["clerk"]}
    )
    lea, leo, bob, eve = people.values()
    [remedy] = (await why(branch, eve, "counter_pay"))["remedies"]
    assert set(named(remedy)) == {branch.administrator.id, lea.id, leo.id}
    found = (await why(branch, bob, "counter_pay"))["remedies"]
    assert {person for each in found for person in named(each)} == {branch.administrator.id}


async def test_machines_decide_nothing(acme: Team) -> None:
    await Crew.made(acme, "pay", "support")
    await custom_role(acme, "teams", "teams_manage", "refunds_create", "refunds_cancel")
    robot = await machine(acme, "teams", "support")
    bob = (await enlist(acme, {"bob": []}))["bob"]
    remedies = (await why(acme, bob, "refunds_create"))["remedies"]
    assert all(robot.id not in named(each) for each in remedies)


async def test_what_is_not_registered_has_no_remedy(acme: Team) -> None:
    found = await why(acme, acme.administrator, "edit", "webhook:none")
    assert found["remedies"] == []
    assert "not registered" in found["no_remedy"]


async def test_what_is_allowed_has_neither_remedy_nor_reason(acme: Team) -> None:
    found = await why(acme, acme.administrator, "refunds_create")
    assert (found["remedies"], found["no_remedy"], found["instead"]) == ([], None, None)


async def test_more_than_ten_are_counted_and_administrators_are_tried_first(acme: Team) -> None:
    await Crew.made(acme, "pay", "support")
    many = await enlist(acme, {f"mal{n}": [] for n in range(12)})
    await role_of(acme, "teams", ["teams_manage"], *many.values())
    bob = (await enlist(acme, {"bob": []}))["bob"]
    remedies = (await why(acme, bob, "refunds_create"))["remedies"]
    [joining] = [each for each in remedies if changes(each) == [("join_team", "pay")]]
    assert (named(joining), joining["more"]) == ([acme.administrator.id], 3)


async def test_asking_changes_nothing(acme: Team, globex: Team) -> None:
    bob, zoe = await acme.member("bob", ["support"]), await globex.member("zoe", ["product"])
    await registered(acme, "webhook:wh_1")
    await acme.act("suspend", bob)
    before = await _everything(acme)
    for who, action, on in (
        (bob, "refunds_create", None),
        (bob, "webhooks_create", None),
        (bob, "edit", "webhook:wh_1"),
        (bob, "users_invite", None),
        (zoe, "refunds_create", None),
    ):
        assert (await why(acme, who, action, on))["remedies"]
    assert await _everything(acme) == before
    assert (await granted(acme, "webhook:wh_1")).json()["grants"] == []


async def _everything(team: Team) -> tuple[object, ...]:
    mails = sorted(each.name for each in (team.world.settings.home / "mail").glob("*.eml"))
    url = f"{team.path}/invitations"
    invitations = (await team.administrator.ask("GET", url)).json()["items"]
    told = [(each.position, each.kind) for each in await events(team)]
    return await team.ledger(), told, mails, invitations


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (OrganizationBusy(organization="acme"), "organization_busy"),
        (EngineUnavailable(cause="a test"), "engine_unavailable"),
    ],
)
async def test_an_outage_is_told_as_one_and_not_as_a_refusal(
    acme: Team, monkeypatch: pytest.MonkeyPatch, failure: Exception, code: str
) -> None:
    bob = (await enlist(acme, {"bob": []}))["bob"]

    async def rehearse(*_: object) -> None:
        raise failure

    monkeypatch.setattr(acme.world.service.ledger, "rehearse", rehearse)
    about = {"user": bob.id, "action": "refunds_create"}
    answer = await acme.administrator.ask("GET", f"{acme.path}/audit/why", params=about)
    assert (answer.status_code, answer.json()["code"]) == (503, code)


async def test_where_a_refused_change_stops_everything_there_is_an_answer_without_remedies(
    acme: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = (await enlist(acme, {"bob": []}))["bob"]

    async def rehearse(*_: object) -> None:
        raise OrganizationStopped(organization=acme.id, refusal="a test")

    monkeypatch.setattr(acme.world.service.ledger, "rehearse", rehearse)
    found = await why(acme, bob, "refunds_create")
    assert found["remedies"] == []
    assert "an operator must repair it" in found["no_remedy"]


async def test_a_question_about_a_past_time_has_no_remedies(acme: Team) -> None:
    bob = (await enlist(acme, {"bob": []}))["bob"]
    past = await acme.world.service.now()
    about = {"user": bob.id, "action": "refunds_create", "at": past.isoformat()}
    answer = await acme.administrator.ask("GET", f"{acme.path}/audit/why", params=about)
    found = answer.raise_for_status().json()
    assert not found["allowed"]
    assert (found["remedies"], found["no_remedy"], found["instead"]) == ([], None, None)


async def test_what_has_happened_since_the_answer_counts(acme: Team) -> None:
    service = acme.world.service
    bob = (await enlist(acme, {"bob": ["product"]}))["bob"]
    found = await ask(await service.audit.sources.of(acme.id), bob.id, "refunds_create")

    async def sought() -> list[tuple[list[str], list[str]]]:
        invitees = service.keys.invitees
        remedies = await remedies_for(service.audit.sources, service.ledger, invitees, found)
        return [([step.change for step in each.steps], list(each.adds)) for each in remedies.items]

    assert await sought() == [(["give_role"], ["refunds_cancel"])]
    await role_of(acme, "cancelling", ["refunds_cancel"], bob)
    assert await sought() == [(["give_role"], [])]
    await acme.act("suspend", bob)
    [(steps, adds)] = await sought()
    assert steps == ["reactivate", "give_role"]
    assert {"refunds_cancel", "links_access"} <= set(adds)


async def test_whoever_registers_objects_grants_what_they_may_do_to_them(acme: Team) -> None:
    wanted = {"eve": ["developer"], "mal": ["product"], "bob": []}
    eve, mal, bob = (await enlist(acme, wanted)).values()
    await role_of(acme, "sharing", ["resources_register"], eve, mal)
    (await register(acme, "webhook:wh_1")).raise_for_status()
    granting, *_ = (await why(acme, bob, "edit", "webhook:wh_1"))["remedies"]
    assert set(named(granting)) == {acme.administrator.id, eve.id}
    refused = await make(acme, bob, granting, mal, "edit")
    assert [each.status_code for each in refused] == [403]
    await make(acme, bob, granting, eve, "edit")
    assert await may(acme, bob, "webhook:wh_1", "edit")


async def test_an_auditor_without_other_rights_is_told_the_same(acme: Team) -> None:
    eve, bob = (await enlist(acme, {"eve": [], "bob": []})).values()
    await role_of(acme, "auditing", ["audit_view"], eve)
    told: list[dict[str, object]] = [
        await why(acme, bob, "refunds_create", by=person) for person in (eve, acme.administrator)
    ]
    assert told[0]["remedies"] == told[1]["remedies"]
