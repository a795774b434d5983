"""`teamaccess ledger status`, `retry` and `skip`: for entries that SpiceDB refuses."""

import json

from tests.changes.test_refusals import FORGED, NO_SUCH_RELATION
from tests.support.agreement import applied_positions
from tests.support.command_line import Run
from tests.support.database_connections import Connection
from tests.support.organization import Organization


async def _stop(organization: Organization, application_connection: Connection) -> int:
    await application_connection.execute(
        FORGED, organization.id, NO_SUCH_RELATION.format(organization.id)
    )
    assert (await organization.invite("nobody", ["product"])).status_code == 503
    return len(await organization.ledger())


async def test_status_names_stopped_organizations_and_skip_restarts_them(
    run: Run, acme: Organization, application_connection: Connection
) -> None:
    position = await _stop(acme, application_connection)
    status = await run("ledger", "status")
    assert status.exit_code == 1
    assert f"{acme.id} has stopped at position {position}" in status.stdout
    reported = json.loads((await run("ledger", "status", "--json")).stdout)
    assert [
        each["position"] for each in reported["stopped"] if each["organization"] == acme.id
    ] == [position]

    skipped = await run("ledger", "skip", acme.id, "--reason", "nobody knows that relation")
    assert skipped.exit_code == 0, skipped.output
    assert f"teamaccess reconcile --organization {acme.id}" in skipped.stdout
    assert (await acme.invite("eve", ["product"])).status_code == 201
    assert len(await applied_positions(acme)) == len(await acme.ledger())


async def test_retry_gives_the_entry_to_the_workers(
    run: Run, acme: Organization, application_connection: Connection
) -> None:
    position = await _stop(acme, application_connection)
    retried = await run("ledger", "retry", acme.id, "--reason", "the schema is repaired", "--json")
    assert json.loads(retried.stdout) == {"organization": acme.id, "position": position}
    reported = await acme.administrator.ask("GET", f"{acme.path}/changes/{position}")
    assert reported.json()["status"] == "pending"


async def test_skip_is_refused_if_nothing_has_stopped(run: Run, acme: Organization) -> None:
    refused = await run("ledger", "skip", acme.id, "--reason", "just so")
    assert refused.exit_code == 2
    assert f"{acme.id} is not stopped: there is no entry" in refused.stderr
