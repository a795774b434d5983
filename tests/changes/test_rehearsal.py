"""A change that is made as if: what it would come to, and nothing else."""

import pytest

from teamaccess.access.authorize import MissingPermission
from teamaccess.changes import OrganizationChange
from teamaccess.directory.members.act import LastAdministrator, change_roles, suspend
from teamaccess.ledger import Attribution
from teamaccess.storage import Channel, RoleId
from tests.support.steps import enlist
from tests.support.world import OPERATOR, Team


async def test_it_says_what_would_change_and_changes_nothing(acme: Team) -> None:
    bob = (await enlist(acme, {"bob": ["support"]}))["bob"]
    before = await acme.ledger()

    async def promote(change: OrganizationChange) -> None:
        await change_roles(change, bob.id, {RoleId("developer"): None})

    found = await acme.world.service.ledger.rehearse(OPERATOR, acme.id, promote)
    assert [str(update) for update in found.updates] == [
        f"DELETE organization:{acme.id}#support@user:{bob.id}",
        f"TOUCH organization:{acme.id}#developer@user:{bob.id}",
    ]
    assert found.standing.position == len(before)
    assert await acme.ledger() == before
    assert await acme.world.check(acme.id, bob.id, "refunds_create")
    assert not await acme.world.check(acme.id, bob.id, "webhooks_create")


async def test_it_is_judged_as_the_real_one_would_be(acme: Team) -> None:
    bob = (await enlist(acme, {"bob": ["support"]}))["bob"]
    by_bob = Attribution(f"user:{bob.id}", Channel.API, "tests")

    async def themselves(change: OrganizationChange) -> None:
        await change_roles(change, bob.id, {RoleId("developer"): None})

    with pytest.raises(MissingPermission):
        await acme.world.service.ledger.rehearse(by_bob, acme.id, themselves)


async def test_whoever_runs_the_service_keeps_the_last_administrator_too(acme: Team) -> None:
    async def everybody_out(change: OrganizationChange) -> None:
        await suspend(change, acme.administrator.id)

    with pytest.raises(LastAdministrator):
        await acme.world.service.ledger.rehearse(OPERATOR, acme.id, everybody_out)
