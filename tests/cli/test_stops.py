"""`teamaccess ledger status`, `retry` and `skip`: what an operator sees and does when SpiceDB refuses."""

import json

from tests.changes.test_refusals import FORGED, NO_SUCH_RELATION
from tests.cli.conftest import Run
from tests.support.connections import Connection
from tests.support.sides import markers
from tests.support.world import Team


async def _stop(team: Team, application: Connection) -> int:
    await application.execute(FORGED, team.id, NO_SUCH_RELATION.format(team.id))
    assert (await team.invite("nobody", ["product"])).status_code == 503
    return len(await team.ledger())


async def test_status_names_what_has_stopped_and_skip_is_a_way_out(
    run: Run, acme: Team, application: Connection
) -> None:
    position = await _stop(acme, application)
    status = await run("ledger", "status")
    assert status.exit_code == 1
    assert f"{acme.id} has stopped at position {position}" in status.stdout
    told = json.loads((await run("ledger", "status", "--json")).stdout)
    assert [each["position"] for each in told["stopped"] if each["organization"] == acme.id] == [
        position
    ]

    skipped = await run("ledger", "skip", acme.id, "--reason", "nobody knows that relation")
    assert skipped.exit_code == 0, skipped.output
    assert f"teamaccess reconcile --organization {acme.id}" in skipped.stdout
    assert (await acme.invite("eve", ["product"])).status_code == 201
    assert len(await markers(acme)) == len(await acme.ledger())


async def test_retry_hands_it_to_the_workers(run: Run, acme: Team, application: Connection) -> None:
    position = await _stop(acme, application)
    retried = await run("ledger", "retry", acme.id, "--reason", "the schema is mended", "--json")
    assert json.loads(retried.stdout) == {"organization": acme.id, "position": position}
    told = await acme.administrator.ask("GET", f"{acme.path}/changes/{position}")
    assert told.json()["status"] == "pending"


async def test_where_nothing_has_stopped_there_is_nothing_to_skip(run: Run, acme: Team) -> None:
    refused = await run("ledger", "skip", acme.id, "--reason", "just so")
    assert refused.exit_code == 2
    assert f"{acme.id} is not stopped: there is no entry" in refused.stderr
