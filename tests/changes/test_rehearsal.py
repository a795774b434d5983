"""A rehearsed change: it returns its effect, and nothing is kept."""

import pytest

from teamaccess.access.authorize import MissingPermission
from teamaccess.changes import OrganizationChange
from teamaccess.directory.members.act import LastAdministrator, change_member_roles, suspend
from teamaccess.ledger import Attribution
from teamaccess.storage import Channel, RoleId
from tests.support.deployment import OPERATOR
from tests.support.organization import Organization


async def test_a_rehearsal_returns_what_would_change_and_changes_nothing(
    acme: Organization,
) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    before = await acme.ledger()

    async def promote(change: OrganizationChange) -> None:
        await change_member_roles(change, bob.id, {RoleId("developer"): None})

    found = await acme.deployment.service.ledger.rehearse(OPERATOR, acme.id, promote)
    assert [str(update) for update in found.updates] == [
        f"DELETE organization:{acme.id}#support@user:{bob.id}",
        f"TOUCH organization:{acme.id}#developer@user:{bob.id}",
    ]
    assert found.ledger_position.position == len(before)
    assert await acme.ledger() == before
    assert await acme.deployment.check(acme.id, bob.id, "refunds_create")
    assert not await acme.deployment.check(acme.id, bob.id, "webhooks_create")


async def test_a_rehearsal_is_refused_as_the_real_change_would_be(acme: Organization) -> None:
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    by_bob = Attribution(f"user:{bob.id}", Channel.API, "tests")

    async def promote_themselves(change: OrganizationChange) -> None:
        await change_member_roles(change, bob.id, {RoleId("developer"): None})

    with pytest.raises(MissingPermission):
        await acme.deployment.service.ledger.rehearse(by_bob, acme.id, promote_themselves)


async def test_operators_cannot_remove_the_last_administrator(
    acme: Organization,
) -> None:
    async def suspend_administrator(change: OrganizationChange) -> None:
        await suspend(change, acme.administrator.id)

    with pytest.raises(LastAdministrator):
        await acme.deployment.service.ledger.rehearse(OPERATOR, acme.id, suspend_administrator)
