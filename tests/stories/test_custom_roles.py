"""Roles that an organization makes itself: of actions, of selectors, cloned, changed."""

import dataclasses

import pytest

from teamaccess.directory.roles.find import find_custom_role
from teamaccess.directory.roles.selection import could_add
from teamaccess.storage import OrganizationId, RoleId
from tests.stories.custom_roles import (
    create_role,
    get_role,
    replace_role,
    selector,
    try_create_role,
)
from tests.support.agreement import assert_agreement
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.responses import refused


async def role_manager(organization: Organization, *actions: str, name: str = "bob") -> Person:
    """A member who may manage roles and holds these actions, in an organization of Finicom's catalog."""
    await create_role(organization, f"manager_{name}", "roles_manage", "members_view", *actions)
    return await organization.member(name, roles=[f"manager_{name}"])


async def test_a_custom_role_allows_only_its_actions(acme: Organization) -> None:
    role = await create_role(
        acme, "treasurer", "payouts_view", "transfers_view", description="Pays."
    )
    assert role["actions"] == ["payouts_view", "transfers_view"]
    assert (role["custom"], role["teams"], role["operator_only"]) == (True, True, False)
    assert (await acme.ledger())[-1] == [
        f"TOUCH organization:{acme.id}#granted_{action}@role:{acme.id}/treasurer#member"
        for action in ("payouts_view", "transfers_view")
    ]
    bob = await acme.member("bob", roles=["treasurer"])
    assert (await acme.ledger())[-1][-1] == f"TOUCH role:{acme.id}/treasurer#member@user:{bob.id}"
    mail = acme.deployment.mails_to(bob.email)[-1]
    assert "You are invited to join Acme\n" in mail
    assert "  - Treasurer\n" in mail
    shown = (await bob.ask("GET", f"{acme.path}/permissions")).json()
    assert shown["actions"] == ["payouts_view", "transfers_view"]
    assert not await acme.can(bob, "transfers_create")
    assert (await get_role(acme, "treasurer")).json()["holders"]["members"] == 1
    await assert_agreement(acme)


async def test_a_custom_role_is_assigned_and_removed_like_any_other_role(
    acme: Organization, globex: Organization
) -> None:
    await create_role(acme, "treasurer", "payouts_view")
    bob = await acme.member("bob", roles=["support"])
    given = await acme.change_roles(bob, "support", "treasurer")
    assert [each["role"] for each in given.json()["roles"]] == ["support", "treasurer"]
    assert (await acme.ledger())[-1] == [f"TOUCH role:{acme.id}/treasurer#member@user:{bob.id}"]
    listed = await acme.administrator.ask("GET", f"{acme.path}/members?role=treasurer")
    assert [each["user"] for each in listed.json()["items"]] == [bob.id]
    await acme.change_roles(bob)
    assert not await acme.can(bob, "payouts_view")
    refused(await globex.invite("eve", ["treasurer"]), 400, "unknown_role")
    refused(await get_role(globex, "treasurer"), 404, "role_not_found")


async def test_a_selector_stands_for_the_actions_of_the_day_it_was_saved(
    acme: Organization,
) -> None:
    role = await create_role(acme, "hooks", selector("webhooks", "view"), "links_access")
    catalog = acme.deployment.service.catalog
    webhooks = {
        each.id
        for each in catalog.actions.values()
        if (each.resource, each.level) == ("webhooks", "view")
    }
    assert set(role["actions"]) == {*webhooks, "links_access"}
    assert role["selectors"] == [{"resource": "webhooks", "level": "view"}]
    assert role["could_add"] == []

    later = dataclasses.replace(catalog.actions["webhooks_access"], id="webhooks_audit")
    reserved = dataclasses.replace(later, id="webhooks_own", reserved=True)
    newer = dataclasses.replace(
        catalog,
        actions={**catalog.actions, later.id: later, reserved.id: reserved},
    )
    async with acme.deployment.service.reads() as session:
        kept = await find_custom_role(session, OrganizationId(acme.id), RoleId("hooks"))
    assert kept is not None
    assert could_add(newer, kept) == {"webhooks_audit"}
    assert could_add(catalog, kept) == set()


async def test_actions_that_a_selector_would_add_are_shown_until_the_role_is_saved_again(
    acme: Organization,
) -> None:
    await create_role(acme, "hooks", selector("links", "manage"))
    async with acme.deployment.operator(
        acme.id
    ) as change:  # simulates that the catalog got links_delete later
        role = await find_custom_role(change.session, acme.id, RoleId("hooks"))
        assert role is not None
        role.replace_actions(frozenset({"links_edit"}))
    shown = (await get_role(acme, "hooks")).json()
    assert (shown["actions"], shown["could_add"]) == (["links_edit"], ["links_delete"])
    changed = (await replace_role(acme, "hooks", selector("links", "manage"))).json()
    assert (changed["actions"], changed["could_add"]) == (["links_delete", "links_edit"], [])


async def test_a_change_of_a_role_takes_effect_for_all_holders_in_one_position(
    acme: Organization,
) -> None:
    await create_role(acme, "treasurer", "payouts_view", "transfers_view")
    people = [await acme.member(name, roles=["treasurer"]) for name in ("bob", "dan")]
    before = len(await acme.ledger())
    changed = await replace_role(acme, "treasurer", "payouts_view", "links_edit", name="Purser")
    assert changed.json()["name"] == "Purser"
    granted = f"organization:{acme.id}#granted_"
    holders = f"role:{acme.id}/treasurer#member"
    assert (await acme.ledger())[before:] == [
        [
            f"DELETE {granted}transfers_view@{holders}",
            f"TOUCH {granted}links_edit@{holders}",
        ]
    ]
    token = changed.headers["Zed-Token"]
    for person in people:
        assert await acme.can(person, "links_edit", at=token)
        assert not await acme.can(person, "transfers_view", at=token)
    reported = (await acme.events())[-1]
    assert reported.kind == "role_changed"
    assert reported.details == {
        "added": ["links_edit"],
        "removed": ["transfers_view"],
        "renamed": True,
    }


async def test_renaming_a_role_changes_no_access(acme: Organization) -> None:
    await create_role(acme, "treasurer", "payouts_view")
    before = await acme.ledger()
    changed = await replace_role(
        acme, "treasurer", "payouts_view", name="Purser", description="Pays."
    )
    assert changed.status_code == 200
    assert await acme.ledger() == before
    shown = (await get_role(acme, "treasurer")).json()
    assert (shown["name"], shown["description"]) == ("Purser", "Pays.")


async def test_a_role_that_changed_since_it_was_read_is_not_overwritten(acme: Organization) -> None:
    await create_role(acme, "treasurer", "payouts_view")
    seen = (await get_role(acme, "treasurer")).headers["ETag"]
    assert (
        await replace_role(acme, "treasurer", "links_edit", headers={"If-Match": seen})
    ).is_success
    before = await acme.ledger()
    late = await replace_role(acme, "treasurer", "links_delete", headers={"If-Match": seen})
    refused(late, 412, "role_changed_meanwhile")
    assert await acme.ledger() == before
    assert (
        await replace_role(acme, "treasurer", "links_edit", headers={"If-Match": "*"})
    ).is_success
    assert (await replace_role(acme, "treasurer", "links_edit", id="treasurer")).is_success
    refused(await replace_role(acme, "treasurer", "links_edit", id="other"), 400, "role_id_stays")


async def test_a_new_role_contains_only_actions_that_its_creator_holds(
    initech: Organization,
) -> None:
    bob = await role_manager(initech, "sources_create")
    assert (await try_create_role(initech, "editor", "sources_create", by=bob)).status_code == 201
    for beyond in ("sources_manage", selector("sources", "manage"), "billing_manage"):
        problem = refused(
            await try_create_role(initech, "more", "sources_create", beyond, by=bob),
            403,
            "role_beyond_giver",
        )
        missing = {"billing_manage"} if beyond == "billing_manage" else {"sources_manage"}
        assert set(problem["missing"]) == missing
        refused(await replace_role(initech, "editor", beyond, by=bob), 403, "role_beyond_giver")
        refused(
            await replace_role(initech, "manager_bob", "sources_create", beyond, by=bob),
            403,
            "role_beyond_giver",
        )
    refused(
        await try_create_role(initech, "more", by=bob, clone_of="write"), 403, "role_beyond_giver"
    )
    support = await initech.member("sue", roles=["read"])
    problem = refused(
        await try_create_role(initech, "more", "sources_view", by=support),
        403,
        "missing_permission",
    )
    assert problem["permission"] == "roles_manage"


async def test_a_role_above_the_caller_cannot_be_changed_in_any_way(
    initech: Organization,
) -> None:
    bob = await role_manager(initech, "sources_create")
    await create_role(initech, "treasurer", "sources_create", "billing_manage")
    before = await initech.ledger()
    for actions in (["sources_create"], ["sources_create", "billing_manage"]):
        problem = refused(
            await replace_role(initech, "treasurer", *actions, by=bob), 403, "role_above_actor"
        )
        assert problem["missing"] == ["billing_manage"]
    assert await initech.ledger() == before
    # a member who gives the action may also remove it
    await create_role(initech, "creator", "billing_manage")
    await initech.change_roles(bob, "manager_bob", "creator")
    assert (await replace_role(initech, "treasurer", "sources_create", by=bob)).is_success


async def test_changing_a_role_that_the_caller_holds_can_only_reduce_it(
    initech: Organization,
) -> None:
    bob = await role_manager(initech, "sources_create", "sources_view")
    mine = ["roles_manage", "members_view"]
    assert (await replace_role(initech, "manager_bob", *mine, by=bob)).is_success
    refused(
        await replace_role(initech, "manager_bob", *mine, "sources_create", by=bob),
        403,
        "role_beyond_giver",
    )


async def test_a_reserved_action_is_in_no_custom_role(acme: Organization) -> None:
    for reserved in ("users_invite", "users_change_roles", "users_remove"):
        problem = refused(
            await try_create_role(acme, "boss", "links_edit", reserved), 400, "reserved_action"
        )
        assert problem["actions"] == [reserved]
    refused(
        await try_create_role(acme, "boss", selector("users", "manage")), 400, "nothing_selected"
    )
    await create_role(acme, "viewer", selector("users", "view"))
    refused(await replace_role(acme, "viewer", "users_invite"), 400, "reserved_action")


async def test_a_clone_of_the_administrator_cannot_do_what_only_an_owner_does(
    acme: Organization,
) -> None:
    clone = await create_role(acme, "deputy", clone_of="administrator")
    owners = {"organization_delete", "roles_manage", "service_accounts_manage"}
    assert owners <= set(clone["left_out"])
    bob = await acme.member("bob", roles=["deputy"])
    account = {"name": "Nightly job", "roles": []}
    refused(await try_create_role(acme, "own", "links_access", by=bob), 403, "missing_permission")
    for answer in (
        await bob.ask("POST", f"{acme.path}/service-accounts", json=account),
        await bob.ask("DELETE", acme.path),
    ):
        refused(answer, 403, "missing_permission")
    for action in owners:
        refused(await try_create_role(acme, "owner", action), 400, "reserved_action")


async def test_in_finicom_no_custom_role_makes_service_accounts(initech: Organization) -> None:
    clone = await create_role(initech, "deputy", clone_of="admin")
    assert clone["left_out"] == ["service_accounts_manage"]


async def test_a_clone_of_the_administrator_lacks_reserved_actions_and_lists_them(
    acme: Organization,
) -> None:
    clone = await create_role(acme, "deputy", clone_of="administrator")
    catalog = acme.deployment.service.catalog
    left_out = sorted(each.id for each in catalog.actions.values() if each.reserved)
    assert clone["left_out"] == left_out
    assert set(clone["actions"]) == catalog.roles["administrator"].actions - set(left_out)
    bob = await acme.member("bob", roles=["deputy"])
    assert not await acme.can(bob, "users_invite")
    assert not await acme.can(bob, "administration")
    assert (await create_role(acme, "helper", clone_of="support"))["left_out"] == []


async def test_a_clone_of_a_custom_role_keeps_its_selectors_and_is_independent(
    acme: Organization,
) -> None:
    await create_role(acme, "hooks", selector("links", "manage"), "links_access")
    clone = await create_role(acme, "hooks_two", clone_of="hooks")
    assert clone["selectors"] == [{"resource": "links", "level": "manage"}]
    await replace_role(acme, "hooks", "links_access")
    assert "links_edit" in (await get_role(acme, "hooks_two")).json()["actions"]
    refused(await try_create_role(acme, "more", clone_of="wizard"), 400, "unknown_role")
    refused(
        await try_create_role(acme, "more", "links_edit", clone_of="hooks"), 400, "invalid_request"
    )
    refused(await try_create_role(acme, "more"), 400, "invalid_request")


async def test_authorizing_may_be_part_of_a_role_and_is_decided_on_the_resource(
    acme: Organization,
) -> None:
    await create_role(acme, "approver", selector("transfers", "authorize"))
    bob = await acme.member("bob", roles=["approver"])
    assert await acme.can(bob, "transfers_authorize_unrestricted")
    assert (await acme.ledger())[-3:-2] == [
        [f"TOUCH organization:{acme.id}#granted_transfers_authorize@role:{acme.id}/approver#member"]
    ]


@pytest.mark.parametrize(
    ("id", "status", "code"),
    [
        ("member", 409, "role_id_reserved"),
        ("administrator", 409, "role_id_reserved"),
        ("administration", 409, "role_id_reserved"),
        ("applied", 409, "role_id_reserved"),
        ("head", 409, "role_id_reserved"),
        ("granted_links_edit", 409, "role_id_reserved"),
        ("links_edit", 409, "role_id_reserved"),
        ("none", 409, "role_id_reserved"),
        ("ab", 400, "invalid_role_id"),
        ("Treasurer", 400, "invalid_role_id"),
        ("_treasurer", 400, "invalid_role_id"),
        ("treasurer_", 400, "invalid_role_id"),
        ("treasurer\n", 400, "invalid_role_id"),
        ("x" * 64, 201, ""),
        ("x" * 65, 400, "invalid_request"),
    ],
)
async def test_ids_of_other_things_and_malformed_ids_are_refused(
    acme: Organization, id: str, status: int, code: str
) -> None:
    answer = await try_create_role(acme, id, "links_edit", name="Any")
    assert answer.status_code == status, answer.text
    if code:
        refused(answer, status, code)


async def test_unknown_and_repeated_selectors_are_refused(acme: Organization) -> None:
    refused(await try_create_role(acme, "odd", "links_fly"), 400, "unknown_action")
    refused(await try_create_role(acme, "odd", "links_edit", "links_edit"), 400, "action_twice")
    twice = [selector("links", "view")] * 2
    refused(await try_create_role(acme, "odd", *twice), 400, "action_twice")
    refused(await try_create_role(acme, "odd", selector("moon", "view")), 400, "nothing_selected")
    refused(
        await try_create_role(acme, "odd", selector("links", "authorize")), 400, "nothing_selected"
    )
    refused(await try_create_role(acme, "odd", selector("links", "own")), 400, "invalid_request")
    refused(await try_create_role(acme, "odd", "links_edit", name="a\x07b"), 400, "invalid_text")
    await create_role(acme, "odd", "links_edit")
    refused(await try_create_role(acme, "odd", "links_edit"), 409, "role_exists")


async def test_roles_of_the_catalog_cannot_be_changed(acme: Organization) -> None:
    refused(await replace_role(acme, "support", "links_edit"), 409, "predefined_role")
    answer = await acme.administrator.ask("DELETE", f"{acme.path}/roles/support?reassign=none")
    refused(answer, 409, "predefined_role")
    refused(await replace_role(acme, "wizard", "links_edit"), 404, "role_not_found")


async def test_the_list_of_roles_shows_how_many_hold_each(acme: Organization) -> None:
    for id in ("zeta", "alpha"):
        await create_role(acme, id, "links_edit")
    await acme.member("bob", roles=["support", "zeta"])
    await acme.invite("eve", ["alpha", "support"])
    path, seen, cursor = f"{acme.path}/roles", [], ""
    while True:
        answer = await acme.administrator.ask("GET", f"{path}?limit=3{cursor}")
        body = answer.raise_for_status().json()
        seen.extend(body["items"])
        if body["next_cursor"] is None:
            break
        cursor = f"&cursor={body['next_cursor']}"
    assert [each["id"] for each in seen] == [
        *acme.deployment.service.catalog.roles,
        "zeta",
        "alpha",
    ]
    held = {
        each["id"]: (each["holders"]["members"], each["holders"]["invitations"]) for each in seen
    }
    assert held["administrator"] == (1, 0)
    assert held["support"] == (1, 1)
    assert held["zeta"] == (1, 0)
    assert held["alpha"] == (0, 1)
    assert [each["custom"] for each in seen] == [False] * 6 + [True] * 2
    bob = acme.people["bob"]
    assert (
        await bob.ask("GET", path)
    ).is_success  # members who see the team see what its roles allow


async def test_an_offered_role_is_checked_as_it_is_at_the_acceptance(branch: Organization) -> None:
    await create_role(branch, "teller", "counter_view")
    lea = await branch.member("lea", roles=["lead"])
    await branch.invite("nora", ["teller"], by=lea)
    await branch.invite("olga", ["teller"], by=lea)
    await replace_role(branch, "teller", "counter_pay")
    assert (await branch.accept("nora")).is_success
    await replace_role(branch, "teller", "counter_pay", "house_audit")
    refused(await branch.accept("olga"), 409, "inviter_lost_rights")
    problem = refused(await branch.invite("pia", ["teller"], by=lea), 403, "role_beyond_giver")
    assert problem["missing"] == ["house_audit"]


async def test_a_member_with_a_custom_role_that_allows_more_is_above_the_caller(
    branch: Organization,
) -> None:
    await create_role(branch, "watch", "house_audit")
    lea = await branch.member("lea", roles=["lead"])
    dan = await branch.member("dan", roles=["clerk", "watch"])
    for verb in ("suspend", "remove"):
        refused(await branch.change_status(verb, dan, by=lea), 403, "member_above_actor")
    await replace_role(branch, "watch", "counter_view")
    assert (await branch.suspend(dan, by=lea)).is_success
    # it is given more while he cannot use it, and would be given back with him
    await replace_role(branch, "watch", "house_audit")
    refused(await branch.reactivate(dan, by=lea), 403, "member_above_actor")
    assert dan.id in await branch.roles_by_member()


async def test_custom_roles_end_with_the_organization(acme: Organization) -> None:
    await create_role(acme, "treasurer", "payouts_view")
    await acme.member("bob", roles=["treasurer"])
    assert (await acme.administrator.ask("DELETE", acme.path)).status_code == 204
    assert await assert_agreement(acme) == set()


@pytest.mark.parametrize(
    "name",
    [
        "Administrator",
        "SUPPORT",
        "support",
        " S u p p o r t ",
        "Sup\u00a0port",
        "Supp\u043ert",  # a Cyrillic o
        "\uff33\uff55\uff50\uff50\uff4f\uff52\uff54",  # full width
        "\U0001d412upport",  # a mathematical S
        "Adrninistrator",  # rn for m
        "\u0410D\u041cIN\u0406STR\u0410T\u041eR",  # Cyrillic capitals
        "Sup\u200dport",  # a joiner that nobody sees
        "PURSER",
        "P\u03c5rser",  # a Greek upsilon
    ],
)
async def test_a_role_is_not_named_like_another_one(acme: Organization, name: str) -> None:
    await create_role(acme, "purser", "links_access")
    await create_role(acme, "other", "links_access")

    for answer in (
        await try_create_role(acme, "similar", "links_edit", name=name),
        await try_create_role(acme, "similar", name=name, clone_of="support"),
        await replace_role(acme, "other", "links_edit", name=name),
    ):
        assert refused(answer, 409, "role_name_taken")["name"] == name.strip()
    assert (await get_role(acme, "similar")).status_code == 404
    assert (await get_role(acme, "other")).json()["name"] == "Other"


async def test_a_role_id_does_not_look_like_a_predefined_role(acme: Organization) -> None:
    for id in ("supp0rt", "adrninistrator", "deve1oper"):
        answer = await try_create_role(acme, id, "links_edit", name="Links")
        assert refused(answer, 409, "role_name_taken")["name"] == id


async def test_a_role_keeps_its_name_and_takes_one_that_is_free_again(acme: Organization) -> None:
    await create_role(acme, "purser", "links_access")
    assert (await replace_role(acme, "purser", "links_edit", name="PURSER")).status_code == 200
    assert (await replace_role(acme, "purser", "links_edit", name="Cashier")).status_code == 200
    await create_role(acme, "other", "links_edit", name="Purser")
    for name in ("Support team", "Süpport", "Purser 2"):
        assert (await replace_role(acme, "other", "links_edit", name=name)).status_code == 200


async def test_organizations_do_not_share_the_names_of_roles(
    acme: Organization, globex: Organization
) -> None:
    await create_role(acme, "purser", "links_access")
    await create_role(globex, "purser", "links_access")
