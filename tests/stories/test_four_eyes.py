"""A transfer is authorized by a member other than its creator, whatever the creator holds."""

import pytest

from teamaccess.storage import Membership, RoleAssignment, RoleId
from tests.support.agreement import assert_agreement
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.resources import (
    add_resources,
    add_team,
    batch_item,
    change_resources,
    grant_to,
    register_resource,
    remove_resource,
    resource_path,
    set_grants,
)
from tests.support.responses import refused

T1 = "transfer:t_1"


@pytest.fixture
async def people(acme: Organization) -> dict[str, Person]:
    """Ben is an administrator, Tia may authorize through a role of the organization's own."""
    found = await acme.add_members({"ben": ["administrator"], "tia": [], "ole": ["operations"]})
    await acme.add_custom_role("treasurer", "transfers_authorize", holders=[found["tia"]])
    return found


async def test_not_even_an_administrator_authorizes_what_they_created(
    acme: Organization, people: dict[str, Person]
) -> None:
    ana, ben = acme.administrator, people["ben"]
    await add_resources(acme, T1, creator=ana)
    assert (await acme.ledger())[-1] == [
        f"TOUCH transfer:{acme.id}/t_1#creator@user:{ana.id}",
        f"TOUCH transfer:{acme.id}/t_1#organization@organization:{acme.id}",
    ]
    assert not await acme.can(ana, "authorize", on=T1)
    assert await acme.can(ana, "view", on=T1)
    assert await acme.can(ben, "authorize", on=T1)
    assert await acme.can(people["tia"], "authorize", on=T1)
    assert not await acme.can(people["ole"], "authorize", on=T1)


async def test_the_creator_cannot_authorize_through_a_custom_role_a_team_or_a_grant(
    acme: Organization, people: dict[str, Person]
) -> None:
    tia, ole = people["tia"], people["ole"]
    await add_resources(acme, T1, creator=tia)
    await add_resources(acme, "transfer:t_2", creator=ole)
    assert not await acme.can(tia, "authorize", on=T1)
    await add_team(acme, "pay", tia, ole)
    for name in (T1, "transfer:t_2"):
        given = [
            grant_to(tia, "authorize"),
            grant_to(ole, "authorize"),
            grant_to("pay", "authorize"),
        ]
        assert (await set_grants(acme, name, *given)).status_code == 200
    assert not await acme.can(tia, "authorize", on=T1)
    assert await acme.can(ole, "authorize", on=T1)
    assert not await acme.can(ole, "authorize", on="transfer:t_2")
    assert await acme.can(tia, "authorize", on="transfer:t_2")
    async with acme.deployment.operator(acme.id) as change:
        role = RoleId("administrator")
        held = RoleAssignment(organization_id=acme.id, user_id=tia.id, role=role)
        change.session.add(held)
    assert not await acme.can(tia, "authorize", on=T1)
    await assert_agreement(acme)


async def test_the_creator_is_set_once_and_never_changes(
    acme: Organization, people: dict[str, Person]
) -> None:
    ana, ben = acme.administrator, people["ben"]
    await add_resources(acme, T1, creator=ana)
    for by in (ana, ben):
        refused(await register_resource(acme, T1, by=by, creator=ben), 409, "creator_kept")
        refused(
            await change_resources(acme, [batch_item(T1, creator=ben)], by=by), 409, "creator_kept"
        )
    refused(await register_resource(acme, T1), 400, "creator_demanded")
    assert (await remove_resource(acme, T1)).status_code == 204
    for creator in (ana, ben):
        refused(await register_resource(acme, T1, creator=creator), 409, "resource_removed")
        refused(
            await change_resources(acme, [batch_item(T1, creator=creator)]), 409, "resource_removed"
        )
    answer = await change_resources(acme, [batch_item(T1, "remove"), batch_item(T1, creator=ben)])
    refused(answer, 400, "resource_twice")
    assert not await acme.can(ana, "authorize", on=T1)


async def test_a_second_organization_does_not_help_the_creator(
    acme: Organization, globex: Organization
) -> None:
    """Ana is an administrator in both, and registers the same id there with another creator."""
    ana = acme.administrator
    await globex.add_members({"zoe": ["administrator"]})
    async with globex.deployment.operator(globex.id) as change:
        user = ana.id
        held = [RoleAssignment(role=RoleId("administrator"))]
        change.session.add(Membership(organization_id=globex.id, user_id=user, assignments=held))
    await add_resources(acme, T1, creator=ana)
    await add_resources(globex, T1, creator=globex.people["zoe"])
    assert not await acme.can(ana, "authorize", on=T1)
    assert await globex.can(ana, "authorize", on=T1)
    asked = await ana.ask(
        "POST",
        "/v1/check",
        json={
            "checks": [
                {"organization": globex.id, "action": "authorize", "resource": f"{acme.id}/t_1"},
            ]
        },
    )
    refused(asked, 400, "invalid_resource")


async def test_the_creator_must_be_a_member(acme: Organization, globex: Organization) -> None:
    stranger = await register_resource(acme, T1, creator=globex.administrator)
    refused(stranger, 404, "unknown_member")
    nobody = await acme.administrator.ask(
        "PUT", resource_path(acme, T1), json={"creator": "a\x00b"}
    )
    refused(nobody, 404, "unknown_member")


async def test_a_creator_who_returns_is_still_the_creator(
    acme: Organization, people: dict[str, Person]
) -> None:
    ole = people["ole"]
    await add_resources(acme, T1, creator=ole)
    await acme.remove(ole)
    assert (
        await register_resource(acme, T1, creator=ole)
    ).status_code == 200  # nothing was changed
    refused(await register_resource(acme, "transfer:t_2", creator=ole), 404, "unknown_member")
    async with acme.deployment.operator(acme.id) as change:
        held = [RoleAssignment(role=RoleId("administrator"))]
        change.session.add(Membership(organization_id=acme.id, user_id=ole.id, assignments=held))
    assert not await acme.can(ole, "authorize", on=T1)
    assert await acme.can(ole, "view", on=T1)


async def test_a_creator_cannot_grant_what_they_may_not_do(
    acme: Organization, people: dict[str, Person]
) -> None:
    ana, ole = acme.administrator, people["ole"]
    await add_resources(acme, T1, creator=ana)
    answer = await set_grants(acme, T1, grant_to(ole, "authorize"))
    assert refused(answer, 403, "grant_beyond_giver")["missing"] == ["authorize"]
    assert (
        await set_grants(acme, T1, grant_to(ole, "authorize"), by=people["ben"])
    ).status_code == 200
    assert await acme.can(ole, "authorize", on=T1)
    # but Ana may remove the grant: apart from what she created, she could give its action
    assert (await set_grants(acme, T1)).status_code == 200
    assert not await acme.can(ole, "authorize", on=T1)


async def test_a_four_eyes_action_is_never_checked_on_the_organization(
    acme: Organization, people: dict[str, Person]
) -> None:
    asked = {"organization": acme.id, "action": "transfers_authorize"}
    answer = await acme.administrator.ask("POST", "/v1/check", json={"checks": [asked]})
    problem = refused(answer, 400, "only_on_the_object")
    assert f"transfer:{acme.id}/<id>#authorize" in problem["detail"]


async def test_a_member_is_the_creator_of_what_a_backend_registers_for_them(
    acme: Organization, people: dict[str, Person]
) -> None:
    ana, ben = acme.administrator, people["ben"]
    site = await acme.add_backend_account("resources_register")
    for_ana = site.on_behalf_of(ana.id)
    refused(await register_resource(acme, T1, by=for_ana, creator=ben), 400, "creator_is_member")
    assert (await register_resource(acme, T1, by=for_ana)).status_code == 200
    assert not await acme.can(ana, "authorize", on=T1)
    assert await acme.can(ben, "authorize", on=T1)
