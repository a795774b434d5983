"""Nobody extends their own temporary access, on any path."""

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.responses import refused
from tests.support.teams import Team


async def soon(deployment: Deployment, hours: int = 5) -> datetime:
    return await deployment.service.now() + timedelta(hours=hours)


@pytest.fixture
async def lea(initech: Organization) -> Person:
    """An admin of initech whose role ends in five hours."""
    lea = (await initech.add_members({"lea": ["admin"]}))["lea"]
    await initech.set_role_expiry(lea, "admin", await soon(initech.deployment))
    return lea


async def put_roles(
    organization: Organization, by: Person, member: Person, *roles: Any
) -> httpx.Response:
    path = f"{organization.path}/members/{member.id}/roles"
    wanted = [{"role": role} if isinstance(role, str) else role for role in roles]
    return await by.ask("PUT", path, json={"roles": wanted})


async def test_members_cannot_extend_their_own_role(initech: Organization, lea: Person) -> None:
    later = (await soon(initech.deployment, 50)).isoformat()
    refused(await put_roles(initech, lea, lea, "admin"), 403, "own_access_extended")
    extended = {"role": "admin", "expires_at": later}
    refused(await put_roles(initech, lea, lea, extended), 403, "own_access_extended")
    shortened = {"role": "admin", "expires_at": (await soon(initech.deployment, 1)).isoformat()}
    assert (await put_roles(initech, lea, lea, shortened)).status_code == 200


async def test_others_extend_the_access_of_a_member(initech: Organization, lea: Person) -> None:
    assert (await put_roles(initech, initech.administrator, lea, "admin")).status_code == 200


async def test_a_temporary_administrator_still_gives_access_to_others(
    initech: Organization, lea: Person
) -> None:
    bob = (await initech.add_members({"bob": []}))["bob"]
    assert (await put_roles(initech, lea, bob, "write")).status_code == 200


async def test_members_cannot_give_themselves_another_role_with_the_same_actions(
    initech: Organization, lea: Person
) -> None:
    until = (await soon(initech.deployment, 4)).isoformat()
    both = [{"role": "admin", "expires_at": until}, "write"]
    refused(await put_roles(initech, lea, lea, *both), 403, "own_access_extended")


async def test_members_cannot_postpone_the_end_of_their_membership(initech: Organization) -> None:
    lea = (await initech.add_members({"lea": ["admin"]}))["lea"]
    await initech.set_membership_expiry(lea, await soon(initech.deployment))
    answer = await lea.ask("PATCH", f"{initech.path}/members/{lea.id}", json={"expires_at": None})
    refused(answer, 403, "own_access_extended")


async def test_members_cannot_extend_their_access_by_a_team(
    initech: Organization, lea: Person
) -> None:
    """This holds for a place in a team, for a role of the team, and for leaving and coming back."""
    team = await Team.create(initech, "crew", "write")
    place = f"{team.path}/members/{lea.id}"
    refused(await lea.ask("PUT", place, json={}), 403, "own_access_extended")
    until = {"expires_at": (await soon(initech.deployment, 4)).isoformat()}
    assert (await lea.ask("PUT", place, json=until)).is_success
    refused(await lea.ask("PUT", place, json={}), 403, "own_access_extended")
    assert (await lea.ask("DELETE", place)).is_success
    refused(await lea.ask("PUT", place, json={}), 403, "own_access_extended")


async def test_members_cannot_give_a_role_to_a_team_in_which_they_stay(
    initech: Organization, lea: Person
) -> None:
    team = await Team.create(initech, "crew")
    await team.add_member(lea)
    answer = await lea.ask("PUT", f"{team.path}/roles", json={"roles": [{"role": "write"}]})
    refused(answer, 403, "own_access_extended")


async def test_members_cannot_add_actions_to_their_own_custom_role(
    initech: Organization, lea: Person
) -> None:
    guards = initech.deployment.service.catalog.guards
    await initech.add_custom_role("looker", guards["view_members"], holders=[lea])
    body = {"name": "Looker", "actions": sorted({guards["view_members"], guards["view_audit"]})}
    answer = await lea.ask("PUT", f"{initech.path}/roles/looker", json=body)
    refused(answer, 403, "own_access_extended")


async def test_members_cannot_extend_their_permission_to_give_a_role(branch: Organization) -> None:
    """A custom role with the same actions, held without an end, does not contain that permission."""
    rea = (await branch.add_members({"rea": ["registrar"]}))["rea"]
    actions = sorted(branch.deployment.service.catalog.roles["registrar"].actions)
    await branch.add_custom_role("desk", *actions, holders=[rea])
    await branch.set_role_expiry(rea, "registrar", await soon(branch.deployment))
    answer = await put_roles(branch, rea, rea, "desk", "registrar")
    refused(answer, 403, "own_access_extended")
    team = await Team.create(branch, "crew")
    (await team.add_member(rea)).raise_for_status()
    refused(await team.set_roles("registrar", by=rea), 403, "own_access_extended")
    giving = await Team.create(branch, "giving", "registrar")
    refused(await giving.add_member(rea, by=rea), 403, "own_access_extended")
    until = (await soon(branch.deployment, 4)).isoformat()
    shortened = {"role": "registrar", "expires_at": until}
    assert (await put_roles(branch, rea, rea, "desk", shortened)).status_code == 200


async def test_several_changes_together_extend_nothing(initech: Organization, lea: Person) -> None:
    """The plan names the refusal, and the changes are refused."""
    body = {"changes": [{"change": "set_roles", "user": lea.id, "roles": [{"role": "admin"}]}]}
    plan = await lea.ask("POST", f"{initech.path}/audit/plan", json=body)
    assert plan.status_code == 200, plan.text
    assert plan.json()["refusal"]["code"] == "own_access_extended"
    made = await lea.ask(
        "POST", f"{initech.path}/changes", json=body, headers={"If-Match": plan.headers["ETag"]}
    )
    refused(made, 403, "own_access_extended")


async def test_another_address_of_the_same_mailbox_is_the_same_person(
    initech: Organization, lea: Person
) -> None:
    second = (await initech.add_members({"lea+second": ["read"]}))["lea+second"]
    await initech.set_role_expiry(second, "read", await soon(initech.deployment))
    refused(await put_roles(initech, lea, second, "admin"), 403, "own_access_extended")


async def test_an_invitation_to_another_address_of_the_same_mailbox_is_refused(
    initech: Organization, lea: Person
) -> None:
    body = {"email": lea.email.replace("@", "+third@"), "roles": ["admin"]}
    answer = await lea.ask("POST", f"{initech.path}/invitations", json=body)
    refused(answer, 403, "own_access_extended")
    assert (await initech.invite("somebody", ["admin"], by=lea)).status_code == 201


async def test_members_cannot_give_a_service_account_more_than_their_own_time(
    initech: Organization, lea: Person
) -> None:
    """A token of the service account would give them access after their own access has ended."""
    path = f"{initech.path}/service-accounts"
    made = await lea.ask("POST", path, json={"name": "robot", "roles": ["write"]})
    refused(made, 403, "own_access_extended")
    roles = [{"role": "write", "expires_at": (await soon(initech.deployment, 4)).isoformat()}]
    made = await lea.ask("POST", path, json={"name": "robot", "roles": roles})
    assert made.status_code == 201, made.text
    robot = await initech.create_service_account("write")
    answer = await lea.ask("POST", f"{path}/{robot.id}/tokens", json={"name": "mine"})
    refused(answer, 403, "own_access_extended")


async def test_a_service_account_cannot_extend_the_access_of_the_people_who_made_its_tokens(
    initech: Organization,
) -> None:
    lea = (await initech.add_members({"lea": ["admin"]}))["lea"]
    robot = await initech.create_service_account("admin")
    await robot.create_token(by=lea)
    await initech.set_role_expiry(lea, "admin", await soon(initech.deployment))
    refused(await put_roles(initech, robot, lea, "admin"), 403, "own_access_extended")
    refused(
        await put_roles(initech, robot.on_behalf_of(lea.id), lea, "admin"),
        403,
        "own_access_extended",
    )
    other = await initech.add_service_account("admin")
    assert (await put_roles(initech, other, lea, "admin")).status_code == 200


async def test_operators_extend_what_they_like(initech: Organization, lea: Person) -> None:
    await initech.set_role_expiry(lea, "admin", None)
    assert (await put_roles(initech, lea, lea, "admin")).status_code == 200
