"""An entry that SpiceDB will never take stops its organization, loudly, and nobody else."""

import re

import pytest

from teamaccess.directory.organizations.stopped import NotStopped, retry_stopped, skip_stopped
from tests.support.connections import Connection
from tests.support.sides import agreed, entries, graph, markers, seat
from tests.support.spicedb_proxy import another_process, until, working
from tests.support.steps import events, has_stopped
from tests.support.world import Team, World

FORGED = """
INSERT INTO ledger (organization_id, updates, actor, channel, request_id, catalog_version)
VALUES ($1, ARRAY[$2], 'user:eve', 'api', 'forged', 'none')
"""
NO_SUCH_RELATION = "TOUCH organization:{}#overlord@user:eve"


async def test_a_refused_entry_stops_its_organization_alone(
    acme: Team, globex: Team, application: Connection
) -> None:
    [bob] = await seat(acme, bob=["support"])
    before = await agreed(acme)
    await application.execute(FORGED, acme.id, NO_SUCH_RELATION.format(acme.id))
    position = len(await acme.ledger())

    for stopped in (await has_stopped(acme), await acme.invite("eve", ["product"])):
        assert (stopped.status_code, stopped.json()["code"]) == (503, "organization_stopped")
        assert "overlord" in stopped.json()["detail"]
    assert len(await acme.ledger()) == position
    told = await acme.administrator.ask("GET", f"{acme.path}/changes/{position}")
    assert told.json() == {"status": "refused", "zed_token": None}
    assert position not in await markers(acme)
    assert {str(each) for each in await graph(acme)} == before
    assert await acme.world.check(acme.id, bob, "refunds_create")

    assert (await globex.invite("eve", ["product"])).status_code == 201
    await agreed(globex)


async def test_a_new_process_leaves_what_was_refused_and_brings_in_the_rest(
    acme: Team, globex: Team, fintoc: World, application: Connection
) -> None:
    for team in (acme, globex):
        await application.execute(FORGED, team.id, NO_SUCH_RELATION.format(team.id))
        assert (await team.invite("eve", ["product"])).status_code == 503
    late = await fintoc.create("late")
    await application.execute(FORGED, late.id, f"TOUCH organization:{late.id}#product@user:eve")
    async with another_process(fintoc) as second, working(second):
        await until(lambda: _arrived(late))
    assert len(await markers(acme)) == len(await acme.ledger()) - 1


async def test_an_entry_that_nobody_can_read_does_not_keep_others_waiting(
    acme: Team, fintoc: World, application: Connection
) -> None:
    await application.execute(FORGED, acme.id, "GRANT everything TO eve")
    late = await fintoc.create("zzz")
    await application.execute(FORGED, late.id, f"TOUCH organization:{late.id}#product@user:eve")
    async with another_process(fintoc) as second, working(second):
        await until(lambda: _arrived(late))


async def _arrived(team: Team) -> bool:
    return len(await markers(team)) == len(await team.ledger())


async def _stopped(team: Team, application: Connection) -> int:
    """Stop the organization with an entry that SpiceDB refuses; return its position."""
    await application.execute(FORGED, team.id, NO_SUCH_RELATION.format(team.id))
    assert (await team.invite("nobody", ["product"])).status_code == 503
    return len(await team.ledger())


async def test_even_then_suspending_and_removing_are_in_force_at_once(
    acme: Team, application: Connection
) -> None:
    bob = await acme.member("bob", roles=["support"])
    eve = await acme.member("eve", roles=["support"])
    dan = await acme.member("dan", roles=["support"])
    await _stopped(acme, application)

    suspended = await acme.act("suspend", bob)
    removed = await acme.act("remove", eve)
    left = await dan.ask("POST", f"{acme.path}/leave")
    for answer, person in ((suspended, bob), (removed, eve), (left, dan)):
        assert answer.status_code == 204, answer.text
        assert not await acme.can(person, "refunds_create", at=answer.headers["Zed-Token"])
        position = answer.headers["Teamaccess-Change"].rpartition(":")[2]
        told = await acme.administrator.ask("GET", f"{acme.path}/changes/{position}")
        assert told.json()["status"] == "pending"

    for giving in (await acme.act("reactivate", bob), await acme.change_roles(bob, "product")):
        assert (giving.status_code, giving.json()["code"]) == (503, "organization_stopped")


async def test_even_then_the_rules_hold(acme: Team, application: Connection) -> None:
    bob = await acme.member("bob", roles=["support"])
    await _stopped(acme, application)
    assert (await acme.act("suspend", acme.administrator, by=bob)).status_code == 403
    last = await acme.act("remove", acme.administrator)
    assert (last.status_code, last.json()["code"]) == (409, "last_administrator")
    await acme.act("suspend", bob)
    assert (await acme.act("suspend", acme.administrator, by=bob)).status_code == 404


async def test_a_skipped_entry_lets_the_others_follow(acme: Team, application: Connection) -> None:
    bob = await acme.member("bob", roles=["support"])
    position = await _stopped(acme, application)
    await acme.act("suspend", bob)
    async with acme.world.operator(acme.id, even_if_stopped=True) as change:
        skipped = await skip_stopped(
            acme.world.service.ledger, change, acme.id, "nobody knows that relation"
        )
    assert skipped == position
    told = await acme.administrator.ask("GET", f"{acme.path}/changes/{position}")
    assert told.json()["status"] == "refused"
    assert (await acme.act("reactivate", bob)).status_code == 204
    assert await acme.can(bob, "refunds_create")
    assert await markers(acme) == {
        entry.position: entry.hash.hex()[:12] for entry in await entries(acme)
    }
    assert (await events(acme))[-2].kind == "ledger_skipped"


async def test_a_retried_entry_goes_to_the_workers_again(
    acme: Team, application: Connection, superuser: Connection
) -> None:
    position = await _stopped(acme, application)
    ledger = acme.world.service.ledger
    async with acme.world.operator(acme.id, even_if_stopped=True) as change:
        assert await retry_stopped(ledger, change, acme.id, "perhaps it was the schema") == position
    async with working(acme.world):
        await until(lambda: _refused_again(acme, position))
    async with acme.world.operator(acme.id, even_if_stopped=True) as change:
        await skip_stopped(ledger, change, acme.id, "it was not")
    assert (await acme.invite("eve", ["product"])).status_code == 201
    with pytest.raises(NotStopped):
        async with acme.world.operator(acme.id) as change:
            await skip_stopped(ledger, change, acme.id, "once more")


async def test_readyz_and_metrics_tell_of_it(acme: Team, application: Connection) -> None:
    position = await _stopped(acme, application)
    operator = await acme.world.signed_in_operator()
    ready = (await operator.ask("GET", "/readyz")).json()
    [told] = [each for each in ready["stopped_organizations"] if each["organization"] == acme.id]
    assert told["position"] == position
    assert "overlord" in told["refusal"]
    metrics = (await operator.ask("GET", "/metrics")).text
    stopped = re.search(r"^teamaccess_organizations_stopped (\S+)$", metrics, re.MULTILINE)
    assert stopped is not None
    assert float(stopped[1]) >= 1


async def _refused_again(team: Team, position: int) -> bool:
    told = await team.administrator.ask("GET", f"{team.path}/changes/{position}")
    return bool(told.json()["status"] == "refused")
