"""Remedies: changes that would allow a denied action, and the members who may make them."""

from datetime import timedelta

import pytest

from teamaccess.audit.questions.why import why as ask
from teamaccess.audit.remedies.remedies import remedies_for
from teamaccess.engine import EngineUnavailable
from teamaccess.ledger import OrganizationBusy, OrganizationStopped
from tests.audit.remedies.apply_remedy import (
    apply_remedy,
    make_administrator,
    roles_of,
    steps_of,
    users_who_may_apply,
    why,
)
from tests.support.organization import Organization
from tests.support.resources import (
    add_resources,
    get_grants,
    grant_to,
    register_resource,
    set_grants,
)
from tests.support.teams import Team


async def test_a_suspended_member_is_reactivated_by_one_of_the_named_members(
    acme: Organization,
) -> None:
    bob = await acme.member("bob", ["support"])
    await acme.suspend(bob)
    [remedy] = (await why(acme, bob, "refunds_create"))["remedies"]
    assert steps_of(remedy) == [("reactivate", None)]
    assert remedy["steps"][0]["sentence"] == f"Reactivate {bob.email}."
    assert remedy["by"] == [
        {"user": acme.administrator.id, "email": acme.administrator.email, "name": None}
    ]
    assert (remedy["more"], remedy["operator"]) == (0, False)
    assert "links_access" in remedy["adds"]
    assert "refunds_create" not in remedy["adds"]
    await apply_remedy(acme, bob, remedy, acme.administrator, "refunds_create")
    assert await acme.can(bob, "refunds_create")


async def test_the_smallest_role_with_the_action_is_proposed(acme: Organization) -> None:
    bob = await acme.member("bob", ["product"])
    await acme.set_role_expiry(
        bob, "product", await acme.deployment.service.now() + timedelta(days=3)
    )
    [remedy] = (await why(acme, bob, "refunds_create"))["remedies"]
    assert steps_of(remedy) == [("give_role", "support")]
    assert remedy["adds"] == ["refunds_cancel"]
    before = await roles_of(acme, bob)
    await apply_remedy(acme, bob, remedy, acme.administrator, "refunds_create")
    assert await acme.can(bob, "refunds_create")
    assert before[0] in await roles_of(acme, bob)


async def test_a_custom_role_is_proposed_before_larger_roles_of_the_catalog(
    acme: Organization,
) -> None:
    await acme.add_custom_role("refunder", "refunds_create")
    await acme.add_custom_role("broader", "refunds_create", "api_keys_view")
    bob = (await acme.add_members({"bob": []}))["bob"]
    [remedy] = (await why(acme, bob, "refunds_create"))["remedies"]
    assert steps_of(remedy) == [("give_role", "refunder")]
    assert remedy["adds"] == []


async def test_two_roles_of_which_neither_is_smaller_are_both_proposed(
    acme: Organization,
) -> None:
    await acme.add_custom_role("keys", "webhooks_create", "api_keys_view")
    await acme.add_custom_role("links", "webhooks_create", "links_edit", "links_delete")
    bob = (await acme.add_members({"bob": []}))["bob"]
    remedies = (await why(acme, bob, "webhooks_create"))["remedies"]
    assert list(map(steps_of, remedies)) == [[("give_role", "keys")], [("give_role", "links")]]


async def test_a_suspended_member_without_the_role_needs_two_steps(acme: Organization) -> None:
    bob = await acme.member("bob", ["product"])
    await acme.suspend(bob)
    [remedy] = (await why(acme, bob, "refunds_create"))["remedies"]
    assert steps_of(remedy) == [("reactivate", None), ("give_role", "support")]
    done = await apply_remedy(acme, bob, remedy, acme.administrator, "refunds_create")
    assert [each.status_code for each in done] == [204, 200]
    assert await acme.can(bob, "refunds_create")


async def test_joining_a_team_is_proposed_with_the_grants_it_adds(acme: Organization) -> None:
    await add_resources(acme, "webhook:wh_1")
    small, large = await Team.create(acme, "small", "support"), await Team.create(acme, "large")
    await large.set_roles("support", "developer")
    (await set_grants(acme, "webhook:wh_1", grant_to("small", "edit"))).raise_for_status()
    bob = await acme.member("bob", ["product"])
    remedies = (await why(acme, bob, "refunds_create"))["remedies"]
    assert list(map(steps_of, remedies)) == [[("give_role", "support")], [("join_team", "small")]]
    assert remedies[1]["adds"] == [f"edit webhook:{acme.id}/wh_1", "refunds_cancel"]
    await apply_remedy(acme, bob, remedies[1], acme.administrator, "refunds_create")
    assert bob.id in await small.member_ids()
    assert await acme.can(bob, "refunds_create")
    assert await acme.can(bob, "edit", on="webhook:wh_1")


async def test_a_grant_on_the_resource_adds_nothing_else_and_comes_first(
    acme: Organization,
) -> None:
    await add_resources(acme, "webhook:wh_1")
    eve, bob = (await acme.add_members({"eve": [], "bob": []})).values()
    (await set_grants(acme, "webhook:wh_1", grant_to(eve, "edit"))).raise_for_status()
    remedies = (await why(acme, bob, "edit", "webhook:wh_1"))["remedies"]
    assert steps_of(remedies[0]) == [("grant", f"webhook:{acme.id}/wh_1")]
    assert remedies[0]["adds"] == []
    assert steps_of(remedies[1]) == [("give_role", "developer")]
    assert "webhooks_edit" in remedies[1]["adds"]
    await apply_remedy(acme, bob, remedies[0], acme.administrator, "edit")
    assert await acme.can(bob, "edit", on="webhook:wh_1")
    assert await acme.can(eve, "edit", on="webhook:wh_1")


async def test_four_eyes_have_no_remedy_but_members_who_can_are_named(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": []}))["bob"]
    await add_resources(acme, "transfer:t1", creator=acme.administrator)
    (await set_grants(acme, "transfer:t1")).raise_for_status()
    await acme.add_custom_role("authorizer", "transfers_authorize", holders=[bob])
    found = await why(acme, acme.administrator, "authorize", "transfer:t1")
    assert found["remedies"] == []
    assert "somebody else must" in found["no_remedy"]
    assert [each["user"] for each in found["instead"]["people"]] == [bob.id]
    assert found["instead"]["more"] == 0


async def test_reactivating_a_suspended_creator_is_not_a_remedy(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": []}))["bob"]
    await acme.add_custom_role("authorizer", "transfers_authorize", holders=[bob])
    await add_resources(acme, "transfer:t1", creator=bob)
    await acme.suspend(bob)
    found = await why(acme, bob, "authorize", "transfer:t1")
    assert found["remedies"] == []
    assert [each["user"] for each in found["instead"]["people"]] == [acme.administrator.id]


async def test_a_stranger_is_invited_with_the_least_role(
    acme: Organization, globex: Organization
) -> None:
    zoe = await globex.member("zoe", ["support"])
    [remedy] = (await why(acme, zoe, "refunds_create"))["remedies"]
    assert steps_of(remedy) == [("invite", "support")]
    assert users_who_may_apply(remedy) == [acme.administrator.id]
    await apply_remedy(acme, zoe, remedy, acme.administrator, "refunds_create")
    assert await acme.can(zoe, "refunds_create")


async def test_an_invitee_accepts_or_is_invited_again(
    acme: Organization, globex: Organization
) -> None:
    zoe = await globex.member("zoe", ["support"])
    body = {"email": zoe.email, "roles": ["operations"]}
    (await acme.administrator.ask("POST", f"{acme.path}/invitations", json=body)).raise_for_status()
    inviting_again, accepting = (await why(acme, zoe, "refunds_create"))["remedies"]
    assert [kind for kind, _ in steps_of(accepting)] == ["accept_invitation"]
    assert users_who_may_apply(accepting) == [zoe.id]
    assert steps_of(inviting_again) == [("cancel_invitation", None), ("invite", "support")]
    await apply_remedy(acme, zoe, accepting, zoe, "refunds_create")
    assert await acme.can(zoe, "refunds_create")


async def test_only_an_operator_gives_what_only_fintocs_administrator_may_do(
    acme: Organization,
) -> None:
    bob = await acme.member("bob", ["support"])
    [remedy] = (await why(acme, bob, "users_invite"))["remedies"]
    assert (remedy["operator"], remedy["by"], remedy["more"]) == (True, [], 0)
    assert remedy["steps"][0]["command"] == (
        f"teamaccess operator grant-administrator {acme.id} {bob.email} --reason TEXT"
    )
    assert "webhooks_create" in remedy["adds"]
    await make_administrator(acme, bob)
    assert await acme.can(bob, "users_invite")


async def test_an_operator_is_the_last_resort(acme: Organization) -> None:
    bob = await acme.member("bob", ["support"])
    await acme.add_custom_role("networks", "cidr_blocks_access")
    [remedy] = (await why(acme, bob, "cidr_blocks_access"))["remedies"]
    assert (steps_of(remedy), remedy["operator"]) == ([("give_role", "networks")], False)
    await add_resources(acme, "transfer:t1", creator=acme.administrator)
    [remedy] = (await why(acme, bob, "view", "transfer:t1"))["remedies"]
    assert steps_of(remedy) == [("grant", f"transfer:{acme.id}/t1")]


async def test_an_administrator_of_finicom_makes_another_if_no_smaller_role_helps(
    initech: Organization,
) -> None:
    bob = await initech.member("bob", ["write"])
    [remedy] = (await why(initech, bob, "members_invite"))["remedies"]
    assert (steps_of(remedy), remedy["operator"]) == ([("give_role", "admin")], False)
    assert users_who_may_apply(remedy) == [initech.administrator.id]
    await apply_remedy(initech, bob, remedy, initech.administrator, "members_invite")
    assert await initech.can(bob, "members_invite")


async def test_an_expired_membership_is_extended_by_members_who_may_give_all_of_it(
    acme: Organization,
) -> None:
    bob = await acme.member("bob", ["support"])
    await acme.set_membership_expiry(bob, await acme.deployment.service.now() - timedelta(hours=1))
    [remedy] = (await why(acme, bob, "refunds_create"))["remedies"]
    assert steps_of(remedy) == [("change_end", None)]
    await apply_remedy(acme, bob, remedy, acme.administrator, "refunds_create")
    assert await acme.can(bob, "refunds_create")


async def test_an_expired_administrator_of_fintoc_needs_an_operator(
    acme: Organization,
) -> None:
    bob = (await acme.add_members({"bob": []}))["bob"]
    await make_administrator(acme, bob)
    await acme.set_membership_expiry(bob, await acme.deployment.service.now() - timedelta(hours=1))
    [remedy] = (await why(acme, bob, "refunds_create"))["remedies"]
    assert (steps_of(remedy), remedy["operator"]) == (
        [("grant_administrator", "administrator")],
        True,
    )


async def test_a_member_with_the_guard_but_without_the_action_is_not_named(
    acme: Organization,
) -> None:
    team = await Team.create(acme, "pay", "support")
    mal, eve, bob = (await acme.add_members({"mal": [], "eve": ["support"], "bob": []})).values()
    await acme.add_custom_role("teams", "teams_manage", holders=[mal, eve])
    remedies = (await why(acme, bob, "refunds_create"))["remedies"]
    [joining] = [each for each in remedies if steps_of(each) == [("join_team", "pay")]]
    assert set(users_who_may_apply(joining)) == {acme.administrator.id, eve.id}
    assert (await team.add_member(bob, by=mal)).status_code == 403
    assert (await team.add_member(bob, by=eve)).status_code == 200


async def test_members_below_the_target_are_not_named(branch: Organization) -> None:
    people = await branch.add_members(
        {"lea": ["lead"], "leo": ["lead"], "bob": ["auditor"], "eve": ["clerk"]}
    )
    lea, leo, bob, eve = people.values()
    [remedy] = (await why(branch, eve, "counter_pay"))["remedies"]
    assert set(users_who_may_apply(remedy)) == {branch.administrator.id, lea.id, leo.id}
    found = (await why(branch, bob, "counter_pay"))["remedies"]
    assert {person for each in found for person in users_who_may_apply(each)} == {
        branch.administrator.id
    }


async def test_service_accounts_are_not_named(acme: Organization) -> None:
    await Team.create(acme, "pay", "support")
    await acme.add_custom_role("teams", "teams_manage", "refunds_create", "refunds_cancel")
    robot = await acme.add_service_account("teams", "support")
    bob = (await acme.add_members({"bob": []}))["bob"]
    remedies = (await why(acme, bob, "refunds_create"))["remedies"]
    assert all(robot.id not in users_who_may_apply(each) for each in remedies)


async def test_an_unregistered_resource_has_no_remedy(acme: Organization) -> None:
    found = await why(acme, acme.administrator, "edit", "webhook:none")
    assert found["remedies"] == []
    assert "not registered" in found["no_remedy"]


async def test_an_allowed_action_has_no_remedy_and_no_reason(acme: Organization) -> None:
    found = await why(acme, acme.administrator, "refunds_create")
    assert (found["remedies"], found["no_remedy"], found["instead"]) == ([], None, None)


async def test_more_than_ten_are_counted_and_administrators_are_tried_first(
    acme: Organization,
) -> None:
    await Team.create(acme, "pay", "support")
    many = await acme.add_members({f"mal{n}": [] for n in range(12)})
    await acme.add_custom_role("teams", "teams_manage", holders=[*many.values()])
    bob = (await acme.add_members({"bob": []}))["bob"]
    remedies = (await why(acme, bob, "refunds_create"))["remedies"]
    [joining] = [each for each in remedies if steps_of(each) == [("join_team", "pay")]]
    assert (users_who_may_apply(joining), joining["more"]) == ([acme.administrator.id], 3)


async def test_asking_changes_nothing(acme: Organization, globex: Organization) -> None:
    bob, zoe = await acme.member("bob", ["support"]), await globex.member("zoe", ["product"])
    await add_resources(acme, "webhook:wh_1")
    await acme.suspend(bob)
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
    assert (await get_grants(acme, "webhook:wh_1")).json()["grants"] == []


async def _everything(organization: Organization) -> tuple[object, ...]:
    mails = sorted(
        each.name for each in (organization.deployment.settings.home / "mail").glob("*.eml")
    )
    url = f"{organization.path}/invitations"
    invitations = (await organization.administrator.ask("GET", url)).json()["items"]
    reported = [(each.position, each.kind) for each in await organization.events()]
    return await organization.ledger(), reported, mails, invitations


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (OrganizationBusy(organization="acme"), "organization_busy"),
        (EngineUnavailable(cause="a test"), "engine_unavailable"),
    ],
)
async def test_an_outage_is_not_reported_as_a_refusal(
    acme: Organization, monkeypatch: pytest.MonkeyPatch, failure: Exception, code: str
) -> None:
    bob = (await acme.add_members({"bob": []}))["bob"]

    async def rehearse(*_: object) -> None:
        raise failure

    monkeypatch.setattr(acme.deployment.service.ledger, "rehearse", rehearse)
    about = {"user": bob.id, "action": "refunds_create"}
    answer = await acme.administrator.ask("GET", f"{acme.path}/audit/why", params=about)
    assert (answer.status_code, answer.json()["code"]) == (503, code)


async def test_a_stopped_organization_gets_an_answer_without_remedies(
    acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = (await acme.add_members({"bob": []}))["bob"]

    async def rehearse(*_: object) -> None:
        raise OrganizationStopped(organization=acme.id, refusal="a test")

    monkeypatch.setattr(acme.deployment.service.ledger, "rehearse", rehearse)
    found = await why(acme, bob, "refunds_create")
    assert found["remedies"] == []
    assert "an operator must repair it" in found["no_remedy"]


async def test_a_question_about_a_past_time_has_no_remedies(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": []}))["bob"]
    past = await acme.deployment.service.now()
    about = {"user": bob.id, "action": "refunds_create", "at": past.isoformat()}
    answer = await acme.administrator.ask("GET", f"{acme.path}/audit/why", params=about)
    found = answer.raise_for_status().json()
    assert not found["allowed"]
    assert (found["remedies"], found["no_remedy"], found["instead"]) == ([], None, None)


async def test_changes_since_the_answer_count(acme: Organization) -> None:
    service = acme.deployment.service
    bob = (await acme.add_members({"bob": ["product"]}))["bob"]
    found = await ask(await service.audit.sources.of(acme.id), bob.id, "refunds_create")

    async def found_remedies() -> list[tuple[list[str], list[str]]]:
        invitee_key = service.keys.invitees
        remedies = await remedies_for(service.audit.sources, service.ledger, invitee_key, found)
        return [([step.change for step in each.steps], list(each.adds)) for each in remedies.items]

    assert await found_remedies() == [(["give_role"], ["refunds_cancel"])]
    await acme.add_custom_role("cancelling", "refunds_cancel", holders=[bob])
    assert await found_remedies() == [(["give_role"], [])]
    await acme.suspend(bob)
    [(steps, adds)] = await found_remedies()
    assert steps == ["reactivate", "give_role"]
    assert {"refunds_cancel", "links_access"} <= set(adds)


async def test_members_who_register_resources_may_grant_what_they_may_do(
    acme: Organization,
) -> None:
    wanted = {"eve": ["developer"], "mal": ["product"], "bob": []}
    eve, mal, bob = (await acme.add_members(wanted)).values()
    await acme.add_custom_role("sharing", "resources_register", holders=[eve, mal])
    (await register_resource(acme, "webhook:wh_1")).raise_for_status()
    granting, *_ = (await why(acme, bob, "edit", "webhook:wh_1"))["remedies"]
    assert set(users_who_may_apply(granting)) == {acme.administrator.id, eve.id}
    refused = await apply_remedy(acme, bob, granting, mal, "edit")
    assert [each.status_code for each in refused] == [403]
    await apply_remedy(acme, bob, granting, eve, "edit")
    assert await acme.can(bob, "edit", on="webhook:wh_1")


async def test_an_auditor_without_other_permissions_gets_the_same_remedies(
    acme: Organization,
) -> None:
    eve, bob = (await acme.add_members({"eve": [], "bob": []})).values()
    await acme.add_custom_role("auditing", "audit_view", holders=[eve])
    reported: list[dict[str, object]] = [
        await why(acme, bob, "refunds_create", by=person) for person in (eve, acme.administrator)
    ]
    assert reported[0]["remedies"] == reported[1]["remedies"]
