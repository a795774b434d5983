"""Team memberships and the roles of teams end at their expiry, by PostgreSQL's clock."""

from tests.support.agreement import assert_agreement, ledger_entries
from tests.support.organization import Organization
from tests.support.spicedb_proxy import running_worker, sweep, wait_until
from tests.support.teams import Team
from tests.upkeep.worker.test_sweeper import LATER, SOON, has_grown, on_time, time_from_now


async def test_a_team_membership_ends_at_its_expiry(acme: Organization) -> None:
    bob, eve = (await acme.add_members({"bob": ["product"], "eve": []})).values()
    pay = await Team.create(acme, "pay", "support")
    await pay.add_member(eve, await time_from_now(acme.deployment, LATER))
    end = await time_from_now(acme.deployment, SOON)
    await pay.add_member(bob, end)
    before = len(await acme.ledger())
    async with running_worker(acme.deployment):
        assert await acme.can(bob, "refunds_create")
        await wait_until(lambda: has_grown(acme, before))

    [entry] = (await ledger_entries(acme))[before:]
    assert on_time(entry, end)
    assert entry.actor == "system"
    [update] = entry.updates
    assert update.startswith(f"DELETE team:{acme.id}/pay#member@user:{bob.id}[expiration:")
    assert await pay.member_ids() == [eve.id]
    reported = (await acme.events())[-1]
    assert (reported.kind, reported.subject) == ("team_place_ended", f"user:{bob.id}")
    assert reported.details == {"team": "pay", "expires_at": end.isoformat()}
    assert not await acme.can(bob, "refunds_create")
    assert await acme.can(bob, "webhooks_access")
    assert await acme.can(eve, "refunds_create")
    await assert_agreement(acme)


async def test_a_role_of_a_team_expires_for_all_its_members(acme: Organization) -> None:
    bob, eve = (await acme.add_members({"bob": ["product"], "eve": []})).values()
    end = await time_from_now(acme.deployment, SOON)
    pay = await Team.create(acme, "pay", "support")
    await pay.set_roles("developer", support=end)
    for person in (bob, eve):
        await pay.add_member(person)
    before = len(await acme.ledger())
    async with running_worker(acme.deployment):
        assert await acme.can(bob, "refunds_create")
        await wait_until(lambda: has_grown(acme, before))

    [entry] = (await ledger_entries(acme))[before:]
    assert on_time(entry, end)
    [update] = entry.updates
    relation = f"organization:{acme.id}#support@team:{acme.id}/pay#member"
    assert update.startswith(f"DELETE {relation}[expiration:")
    reported = (await acme.events())[-1]
    assert (reported.kind, reported.subject) == ("team_role_ended", "team:pay")
    assert reported.details == {"role": "support", "expires_at": end.isoformat()}
    for person in (bob, eve):
        assert not await acme.can(person, "refunds_create")
        assert await acme.can(person, "webhooks_create")
    await assert_agreement(acme)


async def test_an_expired_row_is_swept_once_and_not_after_its_team_was_deleted(
    acme: Organization,
) -> None:
    bob, eve = (await acme.add_members({"bob": [], "eve": []})).values()
    pay, ops = await Team.create(acme, "pay", "support"), await Team.create(acme, "ops", "support")
    past = await time_from_now(acme.deployment, -SOON)
    for team in (pay, ops):
        for person in (bob, eve):
            await team.add_member(person)
            await team.set_membership_expiry(person, past)
        await team.set_role_expiry("support", past)
    await ops.delete()

    assert await sweep(acme) == 3
    assert await sweep(acme) == 0
    assert await pay.member_ids() == []
    await assert_agreement(acme)
