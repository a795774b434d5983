"""An entry that SpiceDB will never take stops its organization, loudly, and nobody else."""

from tests.faults_tools import another_process, until, working
from tests.ledger.conftest import Connection
from tests.ledger.sides import agreed, graph, markers, seat
from tests.world import Team, World

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

    for _ in range(2):
        stopped = await acme.invite("eve", ["product"])
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
    late = await fintoc.found("late")
    await application.execute(FORGED, late.id, f"TOUCH organization:{late.id}#product@user:eve")
    async with another_process(fintoc) as second, working(second):
        await until(lambda: _arrived(late))
    assert len(await markers(acme)) == len(await acme.ledger()) - 1


async def test_an_entry_that_nobody_can_read_does_not_keep_others_waiting(
    acme: Team, fintoc: World, application: Connection
) -> None:
    await application.execute(FORGED, acme.id, "GRANT everything TO eve")
    late = await fintoc.found("zzz")
    await application.execute(FORGED, late.id, f"TOUCH organization:{late.id}#product@user:eve")
    async with another_process(fintoc) as second, working(second):
        await until(lambda: _arrived(late))


async def _arrived(team: Team) -> bool:
    return len(await markers(team)) == len(await team.ledger())
