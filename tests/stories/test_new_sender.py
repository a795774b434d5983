"""Pending invitations whose inviter lost the right to give them, and how others send them again."""

from datetime import timedelta
from typing import Any

import pytest

from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.responses import refused


async def listed(organization: Organization, id: str, by: Person | None = None) -> dict[str, Any]:
    """An invitation, as the list shows it."""
    caller = by or organization.administrator
    answer = await caller.ask("GET", f"{organization.path}/invitations")
    assert answer.status_code == 200, answer.text
    return next(each for each in answer.json()["items"] if each["id"] == id)


async def obstacle(organization: Organization, id: str) -> tuple[bool, str | None]:
    """Whether it needs a new sender, and why it cannot be accepted."""
    shown = await listed(organization, id)
    return shown["needs_new_sender"], shown["obstacle"]


async def invited_by_ben(organization: Organization, role: str = "support") -> tuple[Person, str]:
    """A second administrator, and an invitation that he sent to eve."""
    ben = (await organization.add_members({"ben": ["administrator"]}))["ben"]
    sent = await organization.invite("eve", [role], by=ben)
    assert sent.status_code == 201, sent.text
    assert await obstacle(organization, sent.json()["id"]) == (False, None)
    return ben, sent.json()["id"]


@pytest.mark.parametrize(
    ("verb", "why"), [("remove", "inviter_removed"), ("suspend", "inviter_suspended")]
)
async def test_an_invitation_of_an_inviter_who_is_gone_needs_a_new_sender(
    acme: Organization, verb: str, why: str
) -> None:
    ben, id = await invited_by_ben(acme)

    assert (await acme.change_status(verb, ben)).is_success

    assert await obstacle(acme, id) == (True, why)
    refused(await acme.accept("eve"), 409, "inviter_lost_rights")


async def test_an_invitation_of_a_demoted_inviter_needs_a_new_sender(acme: Organization) -> None:
    ben, id = await invited_by_ben(acme)

    assert (await acme.change_roles(ben, "support")).is_success

    assert await obstacle(acme, id) == (True, "inviter_may_not_invite")
    refused(await acme.accept("eve"), 409, "inviter_lost_rights")


async def test_an_inviter_whose_role_has_ended_is_a_demoted_one(acme: Organization) -> None:
    ben, id = await invited_by_ben(acme)
    past = await acme.deployment.service.now() - timedelta(seconds=1)
    await acme.set_role_expiry(ben, "administrator", past)

    assert await obstacle(acme, id) == (True, "inviter_may_not_invite")


async def test_an_administrator_sends_it_again_as_themselves(acme: Organization) -> None:
    ben, id = await invited_by_ben(acme)
    old = acme.deployment.invitation_token(acme.address("eve"))
    await acme.remove(ben)

    path = f"{acme.path}/invitations/{id}/resend"
    resent = await acme.administrator.ask("POST", path)

    assert resent.status_code == 200, resent.text
    assert resent.json()["invited_by"] == acme.administrator.id
    assert await obstacle(acme, id) == (False, None)
    event = (await acme.events())[-1]
    assert (event.kind, event.actor) == ("invitation_resent", f"user:{acme.administrator.id}")
    assert event.details["instead_of"] == ben.id
    dead = await acme.deployment.http.post("/v1/invitations/accept", json={"token": old})
    refused(dead, 404, "unknown_invitation_token")
    assert (await acme.accept("eve")).status_code == 200


async def test_sending_again_ones_own_invitation_replaces_nobody(acme: Organization) -> None:
    id = (await acme.invite("eve", ["support"])).json()["id"]
    await acme.administrator.ask("POST", f"{acme.path}/invitations/{id}/resend")
    assert "instead_of" not in (await acme.events())[-1].details


async def test_a_member_who_lacks_the_role_cannot_take_the_invitation_over(
    branch: Organization,
) -> None:
    """Taking over is giving: the new sender needs every action of the offered roles."""
    people = await branch.add_members({"ben": [], "cat": []})
    role = await branch.add_custom_role(
        "teller", "counter_view", "counter_pay", holders=[people["ben"]]
    )
    inviter = await branch.add_custom_role(
        "host", "people_invite", "people_manage", "counter_view", holders=people.values()
    )
    sent = await branch.invite("eve", [role], by=people["ben"])
    assert sent.status_code == 201, sent.text
    id = sent.json()["id"]

    await branch.change_roles(people["ben"], inviter)

    assert await obstacle(branch, id) == (True, "inviter_lacks_role")
    again = await people["cat"].ask("POST", f"{branch.path}/invitations/{id}/resend")
    refused(again, 403, "role_beyond_giver")
    assert await obstacle(branch, id) == (True, "inviter_lacks_role")


async def test_an_invitation_of_a_deleted_service_account_needs_a_new_sender(
    branch: Organization,
) -> None:
    account = await branch.add_backend_account(
        "people_invite", "people_manage", "people_view", "counter_view"
    )
    role = await branch.add_custom_role("watcher", "counter_view")
    deputy = account.on_behalf_of(branch.administrator.id)
    id = (await branch.invite("eve", [role], by=deputy)).json()["id"]
    shown = await listed(branch, id, by=deputy)
    assert (shown["invited_via"], shown["needs_new_sender"]) == (account.id, False)

    await branch.administrator.ask("DELETE", f"{branch.path}/service-accounts/{account.id}")

    assert await obstacle(branch, id) == (True, "inviter_removed")
    refused(await branch.accept("eve"), 409, "inviter_lost_rights")


async def test_a_role_that_grew_beyond_its_inviter_needs_a_new_sender(branch: Organization) -> None:
    ben = (await branch.add_members({"ben": []}))["ben"]
    role = await branch.add_custom_role("watcher", "counter_view")
    await branch.add_custom_role(
        "host", "people_invite", "people_manage", "counter_view", holders=[ben]
    )
    id = (await branch.invite("eve", [role], by=ben)).json()["id"]

    grown = {"name": "Watcher", "actions": ["counter_view", "counter_pay"]}
    assert (
        await branch.administrator.ask("PUT", f"{branch.path}/roles/{role}", json=grown)
    ).is_success

    assert await obstacle(branch, id) == (True, "inviter_lacks_role")


@pytest.mark.parametrize(
    ("role", "why"), [("gone_since", "role_unknown"), ("administrator", "role_from_operators")]
)
async def test_no_new_sender_helps_if_nobody_can_give_the_role(
    acme: Organization, role: str, why: str
) -> None:
    id = (await acme.invite("eve", ["support"])).json()["id"]
    await acme.replace_offered_roles(id, [role])

    assert await obstacle(acme, id) == (False, why)
    assert not (await acme.accept("eve")).is_success


async def test_only_pending_invitations_need_a_new_sender(acme: Organization) -> None:
    ben, id = await invited_by_ben(acme)
    await acme.remove(ben)
    await acme.administrator.ask("DELETE", f"{acme.path}/invitations/{id}")
    assert await obstacle(acme, id) == (False, None)
