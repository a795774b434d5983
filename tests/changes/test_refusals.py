"""An entry that SpiceDB refuses for good stops its organization visibly, and no other one."""

import re

import pytest

from teamaccess.directory.organizations.stopped import NotStopped, retry_stopped, skip_stopped
from tests.support.agreement import (
    applied_positions,
    assert_agreement,
    ledger_entries,
    spicedb_relationships,
)
from tests.support.database_connections import Connection
from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.spicedb_proxy import another_process, running_worker, wait_until

FORGED = """
INSERT INTO ledger (organization_id, updates, actor, channel, request_id, catalog_version)
VALUES ($1, ARRAY[$2], 'user:eve', 'api', 'forged', 'none')
"""
NO_SUCH_RELATION = "TOUCH organization:{}#overlord@user:eve"


async def test_a_refused_entry_stops_only_its_organization(
    acme: Organization, globex: Organization, application_connection: Connection
) -> None:
    [bob] = await acme.add_users(bob=["support"])
    before = await assert_agreement(acme)
    await application_connection.execute(FORGED, acme.id, NO_SUCH_RELATION.format(acme.id))
    position = len(await acme.ledger())

    for stopped in (await acme.wait_until_stopped(), await acme.invite("eve", ["product"])):
        assert (stopped.status_code, stopped.json()["code"]) == (503, "organization_stopped")
        assert "overlord" in stopped.json()["detail"]
    assert len(await acme.ledger()) == position
    reported = await acme.administrator.ask("GET", f"{acme.path}/changes/{position}")
    assert reported.json() == {"status": "refused", "zed_token": None}
    assert position not in await applied_positions(acme)
    assert {str(each) for each in await spicedb_relationships(acme)} == before
    assert await acme.deployment.check(acme.id, bob, "refunds_create")

    assert (await globex.invite("eve", ["product"])).status_code == 201
    await assert_agreement(globex)


async def test_a_new_process_leaves_a_refused_entry_and_delivers_the_rest(
    acme: Organization, globex: Organization, fintoc: Deployment, application_connection: Connection
) -> None:
    for organization in (acme, globex):
        await application_connection.execute(
            FORGED, organization.id, NO_SUCH_RELATION.format(organization.id)
        )
        assert (await organization.invite("eve", ["product"])).status_code == 503
    late = await fintoc.create_organization("late")
    await application_connection.execute(
        FORGED, late.id, f"TOUCH organization:{late.id}#product@user:eve"
    )
    async with another_process(fintoc) as second, running_worker(second):
        await wait_until(lambda: _arrived(late))
    assert len(await applied_positions(acme)) == len(await acme.ledger()) - 1


async def test_an_unreadable_entry_does_not_delay_other_organizations(
    acme: Organization, fintoc: Deployment, application_connection: Connection
) -> None:
    unreadable = f"TOUCH organization:{acme.id}#everything TO eve"
    await application_connection.execute(FORGED, acme.id, unreadable)
    late = await fintoc.create_organization("zzz")
    await application_connection.execute(
        FORGED, late.id, f"TOUCH organization:{late.id}#product@user:eve"
    )
    async with another_process(fintoc) as second, running_worker(second):
        await wait_until(lambda: _arrived(late))


async def _arrived(organization: Organization) -> bool:
    return len(await applied_positions(organization)) == len(await organization.ledger())


async def _stop(organization: Organization, application_connection: Connection) -> int:
    """Stop the organization with an entry that SpiceDB refuses; return its position."""
    await application_connection.execute(
        FORGED, organization.id, NO_SUCH_RELATION.format(organization.id)
    )
    assert (await organization.invite("nobody", ["product"])).status_code == 503
    return len(await organization.ledger())


async def test_suspending_and_removing_work_at_once_in_a_stopped_organization(
    acme: Organization, application_connection: Connection
) -> None:
    bob = await acme.member("bob", roles=["support"])
    eve = await acme.member("eve", roles=["support"])
    dan = await acme.member("dan", roles=["support"])
    await _stop(acme, application_connection)

    suspended = await acme.suspend(bob)
    removed = await acme.remove(eve)
    left = await dan.ask("POST", f"{acme.path}/leave")
    for answer, person in ((suspended, bob), (removed, eve), (left, dan)):
        assert answer.status_code == 204, answer.text
        assert not await acme.can(person, "refunds_create", at=answer.headers["Zed-Token"])
        position = answer.headers["Teamaccess-Change"].rpartition(":")[2]
        reported = await acme.administrator.ask("GET", f"{acme.path}/changes/{position}")
        assert reported.json()["status"] == "pending"

    for giving in (await acme.reactivate(bob), await acme.change_roles(bob, "product")):
        assert (giving.status_code, giving.json()["code"]) == (503, "organization_stopped")


async def test_the_rules_hold_in_a_stopped_organization(
    acme: Organization, application_connection: Connection
) -> None:
    bob = await acme.member("bob", roles=["support"])
    await _stop(acme, application_connection)
    assert (await acme.suspend(acme.administrator, by=bob)).status_code == 403
    last = await acme.remove(acme.administrator)
    assert (last.status_code, last.json()["code"]) == (409, "last_administrator")
    await acme.suspend(bob)
    assert (await acme.suspend(acme.administrator, by=bob)).status_code == 404


async def test_skipping_an_entry_lets_later_ones_follow(
    acme: Organization, application_connection: Connection
) -> None:
    bob = await acme.member("bob", roles=["support"])
    position = await _stop(acme, application_connection)
    await acme.suspend(bob)
    async with acme.deployment.operator(acme.id, even_if_stopped=True) as change:
        skipped = await skip_stopped(
            acme.deployment.service.ledger, change, acme.id, "nobody knows that relation"
        )
    assert skipped == position
    reported = await acme.administrator.ask("GET", f"{acme.path}/changes/{position}")
    assert reported.json()["status"] == "refused"
    assert (await acme.reactivate(bob)).status_code == 204
    assert await acme.can(bob, "refunds_create")
    assert await applied_positions(acme) == {
        entry.position: entry.hash.hex()[:12] for entry in await ledger_entries(acme)
    }
    assert (await acme.events())[-2].kind == "ledger_skipped"


async def test_a_retried_entry_is_delivered_by_the_workers(
    acme: Organization, application_connection: Connection, superuser_connection: Connection
) -> None:
    position = await _stop(acme, application_connection)
    ledger = acme.deployment.service.ledger
    async with acme.deployment.operator(acme.id, even_if_stopped=True) as change:
        assert await retry_stopped(ledger, change, acme.id, "perhaps it was the schema") == position
    async with running_worker(acme.deployment):
        await wait_until(lambda: _refused_again(acme, position))
    async with acme.deployment.operator(acme.id, even_if_stopped=True) as change:
        await skip_stopped(ledger, change, acme.id, "it was not")
    assert (await acme.invite("eve", ["product"])).status_code == 201
    with pytest.raises(NotStopped):
        async with acme.deployment.operator(acme.id) as change:
            await skip_stopped(ledger, change, acme.id, "once more")


async def test_readyz_and_metrics_report_a_stopped_organization(
    acme: Organization, application_connection: Connection
) -> None:
    position = await _stop(acme, application_connection)
    operator = await acme.deployment.operator_person()
    ready = (await operator.ask("GET", "/readyz")).json()
    [reported] = [
        each for each in ready["stopped_organizations"] if each["organization"] == acme.id
    ]
    assert reported["position"] == position
    assert "overlord" in reported["refusal"]
    metrics = (await operator.ask("GET", "/metrics")).text
    stopped = re.search(r"^teamaccess_organizations_stopped (\S+)$", metrics, re.MULTILINE)
    assert stopped is not None
    assert float(stopped[1]) >= 1


async def _refused_again(organization: Organization, position: int) -> bool:
    reported = await organization.administrator.ask(
        "GET", f"{organization.path}/changes/{position}"
    )
    return bool(reported.json()["status"] == "refused")
