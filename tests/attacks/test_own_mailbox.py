"""Another address of your own mailbox is you: nobody gives to it what they cannot give themselves."""

from datetime import timedelta

import pytest

from tests.attacks.test_own_access import put_roles, soon
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.responses import refused
from tests.support.teams import Team


@pytest.fixture
async def registrar(branch: Organization) -> Person:
    """A registrar, who may give the role deputy without holding its actions."""
    return (await branch.add_members({"rea": ["registrar"]}))["rea"]


@pytest.fixture
async def second(branch: Organization, registrar: Person) -> Person:
    """The registrar under another address of the same mailbox."""
    return (await branch.add_members({"rea+two": []}))["rea+two"]


async def test_nobody_gives_a_role_to_their_own_mailbox_without_its_actions(
    branch: Organization, registrar: Person, second: Person
) -> None:
    refused(await put_roles(branch, registrar, second, "deputy"), 403, "role_beyond_giver")
    team = await Team.create(branch, "crew")
    (await team.add_member(second)).raise_for_status()
    refused(await team.set_roles("deputy", by=registrar), 403, "role_beyond_giver")
    paying = await Team.create(branch, "paying", "deputy")
    refused(await paying.add_member(second, by=registrar), 403, "role_beyond_giver")
    assert not await branch.can(second, "counter_pay")


async def test_nobody_invites_their_own_mailbox_with_a_role_beyond_their_own(
    branch: Organization, registrar: Person
) -> None:
    own = {"email": registrar.email.replace("@", "+new@"), "roles": ["deputy"]}
    invitations = f"{branch.path}/invitations"
    refused(await registrar.ask("POST", invitations, json=own), 403, "role_beyond_giver")
    sent = await branch.administrator.ask("POST", invitations, json=own)
    assert sent.status_code == 201, sent.text
    again = await registrar.ask("POST", f"{invitations}/{sent.json()['id']}/resend")
    refused(again, 403, "role_beyond_giver")


async def test_nobody_decides_on_a_request_of_their_own_mailbox(
    branch: Organization, registrar: Person, second: Person
) -> None:
    body = {"role": "deputy", "duration_hours": 5, "reason": "because"}
    asked = await second.ask("POST", f"{branch.path}/access-requests", json=body)
    assert asked.status_code == 201, asked.text
    for verb in ("approve", "decline"):
        path = f"{branch.path}/access-requests/{asked.json()['id']}/{verb}"
        refused(await registrar.ask("POST", path), 403, "own_access_request")


@pytest.fixture
async def lea(initech: Organization) -> Person:
    """An admin for five hours, who may read without an end."""
    lea = (await initech.add_members({"lea": ["admin", "read"]}))["lea"]
    await initech.set_role_expiry(lea, "admin", await soon(initech.deployment))
    return lea


@pytest.fixture
async def offered(initech: Organization, lea: Person) -> str:
    """An address of lea's mailbox that lea invites with a harmless custom role, xrole."""
    body = {"id": "xrole", "name": "Xrole", "actions": ["sources_view"]}
    made = await lea.ask("POST", f"{initech.path}/roles", json=body)
    assert made.status_code == 201, made.text
    email = lea.email.replace("@", "+third@")
    body = {"email": email, "roles": ["xrole"]}
    assert (await lea.ask("POST", f"{initech.path}/invitations", json=body)).status_code == 201
    return email


async def test_a_role_offered_to_ones_own_mailbox_gets_no_more_actions(
    initech: Organization, lea: Person, offered: str
) -> None:
    guards = initech.deployment.service.catalog.guards
    body = {"name": "Xrole", "actions": sorted({"sources_view", guards["change_roles"]})}
    path = f"{initech.path}/roles/xrole"
    refused(await lea.ask("PUT", path, json=body), 403, "own_access_extended")
    refused(await lea.ask("DELETE", f"{path}?reassign=admin"), 403, "own_access_extended")
    body["actions"] = ["sources_view"]
    assert (await lea.ask("PUT", path, json=body)).status_code == 200


async def test_the_acceptance_compares_the_ends_again(
    initech: Organization, lea: Person, offered: str
) -> None:
    """Somebody else gives the role an action that the inviter holds for a few hours only."""
    guards = initech.deployment.service.catalog.guards
    body = {"name": "Xrole", "actions": sorted({"sources_view", guards["change_roles"]})}
    ana, http = initech.administrator, initech.deployment.http
    filled = await ana.ask("PUT", f"{initech.path}/roles/xrole", json=body)
    assert filled.status_code == 200, filled.text
    body = {"token": initech.deployment.invitation_token(offered), "name": "Lea"}
    answer = await http.post("/v1/invitations/accept", json=body)
    refused(answer, 409, "inviter_lost_rights")
    await initech.set_role_expiry(lea, "admin", None)
    assert (await http.post("/v1/invitations/accept", json=body)).status_code == 200


async def test_nobody_reactivates_a_longer_access_of_their_own_mailbox(
    initech: Organization, lea: Person
) -> None:
    second = (await initech.add_members({"lea+second": ["admin"]}))["lea+second"]
    (await initech.suspend(second)).raise_for_status()
    refused(await initech.change_status("reactivate", second, by=lea), 403, "own_access_extended")
    await initech.set_role_expiry(second, "admin", await soon(initech.deployment, 2))
    assert (await initech.change_status("reactivate", second, by=lea)).is_success


async def test_another_address_gets_access_as_long_as_ones_own(
    initech: Organization, lea: Person
) -> None:
    second = (await initech.add_members({"lea+second": []}))["lea+second"]
    for hours, status in ((4, 200), (6, 403)):
        until = (await soon(initech.deployment) + timedelta(hours=hours - 5)).isoformat()
        role = {"role": "admin", "expires_at": until}
        assert (await put_roles(initech, lea, second, role)).status_code == status


async def test_missing_rights_are_refused_before_an_outdated_state(
    initech: Organization, lea: Person
) -> None:
    outdated = {"headers": {"If-Match": '"0000000000000000"'}}
    path = f"{initech.path}/members/{lea.id}/roles"
    answer = await lea.ask("PUT", path, json={"roles": ["admin"]}, **outdated)
    refused(answer, 403, "own_access_extended")
    body = {"changes": [{"change": "set_roles", "user": lea.id, "roles": ["admin"]}]}
    answer = await lea.ask("POST", f"{initech.path}/changes", json=body, **outdated)
    refused(answer, 403, "own_access_extended")
    team = await Team.create(initech, "crew")
    (await team.add_member(lea)).raise_for_status()
    roles = {"roles": ["write"]}
    answer = await lea.ask("PUT", f"{team.path}/roles", json=roles, **outdated)
    refused(answer, 403, "own_access_extended")
    answer = await lea.ask("PUT", path, json={"roles": ["read"]}, **outdated)
    refused(answer, 412, "roles_changed_meanwhile")


async def test_a_removal_cancels_the_invitations_to_every_address_of_the_mailbox(
    initech: Organization,
) -> None:
    bob = (await initech.add_members({"bob": ["admin"]}))["bob"]
    other = bob.email.replace("bob@", "bobby@")
    for email in (bob.email.replace("@", "+x@"), other):
        body = {"email": email, "roles": ["admin"]}
        sent = await initech.administrator.ask("POST", f"{initech.path}/invitations", json=body)
        assert sent.status_code == 201, sent.text
    (
        await initech.administrator.ask("DELETE", f"{initech.path}/members/{bob.id}")
    ).raise_for_status()
    accepted = {}
    for email in (bob.email.replace("@", "+x@"), other):
        body = {"token": initech.deployment.invitation_token(email), "name": "Bob"}
        accepted[email] = await initech.deployment.http.post("/v1/invitations/accept", json=body)
    assert [each.status_code for each in accepted.values()] == [409, 200]


async def test_a_suspended_person_does_not_return_under_another_address(
    initech: Organization,
) -> None:
    bob = (await initech.add_members({"bob": ["admin"]}))["bob"]
    email = bob.email.replace("@", "+x@")
    body = {"email": email, "roles": ["admin"]}
    sent = await initech.administrator.ask("POST", f"{initech.path}/invitations", json=body)
    assert sent.status_code == 201, sent.text
    (await initech.suspend(bob)).raise_for_status()
    acceptance = {"token": initech.deployment.invitation_token(email), "name": "Bob"}
    http = initech.deployment.http
    refused(await http.post("/v1/invitations/accept", json=acceptance), 409, "invitee_suspended")
    (await initech.change_status("reactivate", bob)).raise_for_status()
    assert (await http.post("/v1/invitations/accept", json=acceptance)).status_code == 200


async def test_nobody_gives_a_suspended_account_of_theirs_what_outlasts_their_own(
    initech: Organization, lea: Person
) -> None:
    """Somebody else would reactivate it later, and make the access permanent."""
    second = (await initech.add_members({"lea+second": ["read"]}))["lea+second"]
    robot = await initech.create_service_account("read")
    for account in (second, robot):
        (await initech.suspend(account)).raise_for_status()
        refused(await put_roles(initech, lea, account, "admin"), 403, "own_access_extended")
        assert (await put_roles(initech, initech.administrator, account, "read")).is_success
