"""An invitation by a service account on a member's behalf needs both to hold the role, even at the
acceptance. The attack: a compromised backend invites its attacker and is deleted. The invitation is
accepted later.
"""

from typing import Any

import httpx
import pytest

from teamaccess.changes import Ledger
from teamaccess.common.configuration.limits import Limits
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.responses import refused


async def add_inviting_backend(organization: Organization) -> tuple[Person, Person]:
    """Add a backend that may invite. Returns its own caller, and one on the administrator's behalf."""
    account = await organization.add_backend_account(
        "people_invite", "people_manage", "counter_view"
    )
    return account, account.on_behalf_of(organization.administrator.id)


async def invite(
    organization: Organization, by: Person, name: str, role: str, **more: Any
) -> httpx.Response:
    """Invite a person to one role."""
    body = {"email": organization.address(name), "roles": [role]}
    return await by.ask("POST", f"{organization.path}/invitations", json=body, **more)


async def test_an_invitation_of_a_deleted_backend_gives_nothing(branch: Organization) -> None:
    account, deputy = await add_inviting_backend(branch)
    role = await branch.add_custom_role("watcher", "counter_view")
    assert (await invite(branch, deputy, "eve", role)).status_code == 201
    path = f"{branch.path}/service-accounts/{account.id}"
    assert (await branch.administrator.ask("DELETE", path)).status_code == 204
    refused(await branch.accept("eve"), 409, "inviter_lost_rights")


async def test_a_backend_and_its_member_cannot_give_later_what_either_lacks(
    branch: Organization,
) -> None:
    _, deputy = await add_inviting_backend(branch)
    role = await branch.add_custom_role("watcher", "counter_view")
    assert (await invite(branch, deputy, "eve", role)).status_code == 201
    grown = {"name": "Watcher", "actions": ["counter_view", "counter_pay"]}
    answer = await branch.administrator.ask("PUT", f"{branch.path}/roles/{role}", json=grown)
    assert answer.is_success, answer.text
    refused(await branch.accept("eve"), 409, "inviter_lost_rights")


async def test_a_role_that_both_may_give_is_given(branch: Organization) -> None:
    _, deputy = await add_inviting_backend(branch)
    role = await branch.add_custom_role("watcher", "counter_view")
    assert (await invite(branch, deputy, "eve", role)).status_code == 201
    assert (await branch.accept("eve")).status_code == 200


async def test_a_backends_mails_are_not_counted_for_its_member(
    branch: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ledger, "limits", Limits(invitations_a_day_by_one_person=2))
    _, deputy = await add_inviting_backend(branch)
    role = await branch.add_custom_role("watcher", "counter_view")
    for name in ("ann", "ben"):
        assert (await invite(branch, deputy, name, role)).status_code == 201
    refused(await invite(branch, deputy, "cat", role), 429, "invited_too_often")
    assert (await invite(branch, branch.administrator, "cat", role)).status_code == 201
