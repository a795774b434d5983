"""A place in a team and a role of a team end when their end comes, by PostgreSQL's clock."""

from tests.support.sides import agreed, entries
from tests.support.spicedb_proxy import swept, until, working
from tests.support.steps import enlist, events
from tests.support.teams import Crew
from tests.support.world import Team
from tests.upkeep.worker.test_sweeper import LATER, SOON, ends_in, has_grown, on_time


async def test_a_place_in_a_team_ends_at_its_end(acme: Team) -> None:
    bob, eve = (await enlist(acme, {"bob": ["product"], "eve": []})).values()
    pay = await Crew.made(acme, "pay", "support")
    await pay.put(eve, await ends_in(acme.world, LATER))
    end = await ends_in(acme.world, SOON)
    await pay.put(bob, end)
    before = len(await acme.ledger())
    async with working(acme.world):
        assert await acme.can(bob, "refunds_create")
        await until(lambda: has_grown(acme, before))

    [entry] = (await entries(acme))[before:]
    assert on_time(entry, end)
    assert entry.actor == "system"
    [update] = entry.updates
    assert update.startswith(f"DELETE team:{acme.id}/pay#member@user:{bob.id}[expiration:")
    assert await pay.seated() == [eve.id]
    told = (await events(acme))[-1]
    assert (told.kind, told.subject) == ("team_place_ended", f"user:{bob.id}")
    assert told.details == {"team": "pay", "expires_at": end.isoformat()}
    assert not await acme.can(bob, "refunds_create")
    assert await acme.can(bob, "webhooks_access")
    assert await acme.can(eve, "refunds_create")
    await agreed(acme)


async def test_a_role_of_a_team_ends_for_everybody_in_it(acme: Team) -> None:
    bob, eve = (await enlist(acme, {"bob": ["product"], "eve": []})).values()
    end = await ends_in(acme.world, SOON)
    pay = await Crew.made(acme, "pay", "support")
    await pay.hold("developer", support=end)
    for person in (bob, eve):
        await pay.put(person)
    before = len(await acme.ledger())
    async with working(acme.world):
        assert await acme.can(bob, "refunds_create")
        await until(lambda: has_grown(acme, before))

    [entry] = (await entries(acme))[before:]
    assert on_time(entry, end)
    [update] = entry.updates
    relation = f"organization:{acme.id}#support@team:{acme.id}/pay#member"
    assert update.startswith(f"DELETE {relation}[expiration:")
    told = (await events(acme))[-1]
    assert (told.kind, told.subject) == ("team_role_ended", "team:pay")
    assert told.details == {"role": "support", "expires_at": end.isoformat()}
    for person in (bob, eve):
        assert not await acme.can(person, "refunds_create")
        assert await acme.can(person, "webhooks_create")
    await agreed(acme)


async def test_what_has_ended_is_swept_once_and_with_its_team_not_at_all(acme: Team) -> None:
    bob, eve = (await enlist(acme, {"bob": [], "eve": []})).values()
    pay, ops = await Crew.made(acme, "pay", "support"), await Crew.made(acme, "ops", "support")
    past = await ends_in(acme.world, -SOON)
    for crew in (pay, ops):
        for person in (bob, eve):
            await crew.put(person)
            await crew.end_place(person, past)
        await crew.end_role("support", past)
    await ops.delete()

    assert await swept(acme) == 3
    assert await swept(acme) == 0
    assert await pay.seated() == []
    await agreed(acme)
