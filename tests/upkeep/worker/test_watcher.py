"""Every foreign write to SpiceDB is found within seconds, with what it changed."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
from authzed.api.v1.permission_service_pb2 import ImportBulkRelationshipsRequest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.directory.organizations.stopped import skip_stopped
from teamaccess.engine import Engine, ObservedWrite, TooLarge, channel
from teamaccess.engine.convert import relationship_message
from teamaccess.relationships import Delete, Relationship, Touch, Update
from teamaccess.storage import Finding, FindingKind, OrganizationId
from teamaccess.upkeep.worker import watcher
from teamaccess.upkeep.worker.judgement import Judgement, judge_write
from tests.support.agreement import assert_agreement, ledger_entries
from tests.support.database_connections import Connection
from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.spicedb_proxy import another_process, wait_until
from tests.upkeep.reconciliation.drift import request_comparison
from tests.upkeep.worker.test_troubles import FORGED

pytestmark = pytest.mark.usefixtures("worker")


async def found(organization: Organization) -> list[dict[str, Any]]:
    """Findings about the organization, the oldest first."""
    async with organization.deployment.service.reads() as session:
        rows = await session.scalars(
            select(Finding.details)
            .where(
                Finding.organization_id == organization.id,
                Finding.kind == FindingKind.FOREIGN_WRITE,
            )
            .order_by(Finding.id)
        )
        return list(rows)


async def write(deployment: Deployment, *updates: Update, **metadata: Any) -> None:
    """Write to SpiceDB with its key, bypassing the ledger."""
    await deployment.service.engine.write(updates, metadata=metadata)


async def watching(organization: Organization) -> None:
    """Wait until the worker sees writes: it finds a first foreign write."""
    probe = Touch(Relationship.parse(f"organization:{organization.id}#product@user:probe"))
    await wait_until(lambda: _seen(organization, probe))


async def _seen(organization: Organization, probe: Touch) -> bool:
    await write(organization.deployment, probe)
    await write(organization.deployment, Delete(probe.relationship))
    await asyncio.sleep(0.1)
    return bool(await found(organization))


async def test_a_write_outside_the_ledger_is_found_with_what_it_changed(
    acme: Organization, globex: Organization
) -> None:
    await watching(globex)
    forged = f"organization:{acme.id}#administrator@user:eve"
    await write(acme.deployment, Touch(Relationship.parse(forged)))
    await wait_until(lambda: _has_finding(acme))
    [finding] = await found(acme)
    assert finding["updates"] == [f"TOUCH {forged}"]
    assert finding["metadata"] == {}


async def test_changes_through_the_ledger_are_not_findings(
    acme: Organization, globex: Organization
) -> None:
    await watching(globex)
    bob = await acme.member("bob", roles=["product"])
    await acme.change_roles(bob, "support")
    await acme.suspend(bob)
    await acme.remove(bob)
    await acme.add_users(eve=["support"], dan=["product"])
    before = len(await found(globex))
    await write(
        globex.deployment, Touch(Relationship.parse(f"organization:{globex.id}#product@user:z"))
    )
    await wait_until(lambda: _has_more_findings(globex, before))
    assert await found(acme) == []
    await assert_agreement(acme)


async def test_a_foreign_write_that_names_a_ledger_position_is_found(
    acme: Organization, globex: Organization
) -> None:
    await watching(globex)
    bob = await acme.member("bob", roles=["support"])
    await acme.change_roles(bob, "product")
    given = (await ledger_entries(acme))[-2]
    claimed = {"changes": [{"organization": acme.id, "position": str(given.position)}]}
    again = f"organization:{acme.id}#support@user:{bob.id}"
    await write(acme.deployment, Touch(Relationship.parse(again)), teamaccess=claimed)
    await wait_until(lambda: _has_finding(acme))
    [finding] = await found(acme)
    assert finding["updates"] == [f"TOUCH {again}"]


async def test_a_write_about_several_tenants_is_one_finding_for_each_with_only_its_updates(
    acme: Organization, globex: Organization
) -> None:
    await watching(globex)
    ghost = replace(globex, id=OrganizationId(f"ghost-{globex.id}"))
    given = [
        f"organization:{acme.id}#administrator@user:eve",
        f"team:{acme.id}/pay#member@user:eve",
        f"organization:{ghost.id}#member@user:eve",
    ]
    await write(acme.deployment, *(Touch(Relationship.parse(each)) for each in given))
    await wait_until(lambda: _has_finding(ghost))
    [about_acme], [about_ghost] = await found(acme), await found(ghost)
    assert sorted(about_acme["updates"]) == [f"TOUCH {each}" for each in given[:2]]
    assert about_ghost["updates"] == [f"TOUCH {given[2]}"]
    assert (about_acme["count"], about_ghost["count"]) == (2, 1)
    assert about_acme["zed_token"] == about_ghost["zed_token"]


async def test_touching_an_old_marker_does_not_hide_a_write(
    acme: Organization, globex: Organization
) -> None:
    await watching(globex)
    bob = await acme.member("bob", roles=["support"])
    await acme.remove(bob)
    given = (await ledger_entries(acme))[-2]
    claimed = {"changes": [{"organization": acme.id, "position": str(given.position)}]}
    gate = f"organization:{acme.id}#member@user:{bob.id}"
    marker = f"organization:{acme.id}#applied@ledger_position:{given.position}"
    marker += f"-{given.hash.hex()[:12]}[expiration:2099-01-01T00:00:00Z]"
    again = [Touch(Relationship.parse(each)) for each in (gate, marker)]
    await write(acme.deployment, *again, teamaccess=claimed)
    await wait_until(lambda: _has_finding(acme))
    [finding] = await found(acme)
    assert sorted(finding["updates"]) == sorted(f"TOUCH {each.relationship}" for each in again)


async def test_a_write_that_claims_an_impossible_position_does_not_hide_later_ones(
    acme: Organization, globex: Organization
) -> None:
    await watching(globex)
    claimed = {"changes": [{"organization": acme.id, "position": "99999999999999999999"}]}
    forged = f"organization:{acme.id}#administrator@user:eve"
    await write(acme.deployment, Touch(Relationship.parse(forged)), teamaccess=claimed)
    await wait_until(lambda: _has_finding(acme))
    await _still_watching(globex)


async def test_an_import_outside_the_ledger_is_found_however_large(
    acme: Organization, globex: Organization
) -> None:
    await watching(globex)
    await _import(acme, 40_000)
    await wait_until(lambda: _has_finding(acme))
    assert (await found(acme))[0]["count"] == 40_000
    await _still_watching(globex)


async def test_a_message_over_the_size_limit_is_distinguished_from_an_outage(
    acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "LARGEST_MESSAGE", 100_000)
    async with another_process(acme.deployment) as second:
        engine = second.service.engine
        probe = Touch(Relationship.parse(f"organization:{acme.id}#product@user:probe"))
        since = await engine.write([probe])
        await _import(acme, 2000)
        with pytest.raises(TooLarge):
            await asyncio.wait_for(anext(engine.watch(since)), 10)


async def test_an_unreadable_skipped_entry_does_not_hide_later_writes(
    acme: Organization, globex: Organization, application_connection: Connection
) -> None:
    await watching(globex)
    unreadable = f"TOUCH organization:{acme.id}#what nobody can read"
    await application_connection.execute(FORGED, acme.id, unreadable)
    await acme.wait_until_stopped()
    async with acme.deployment.operator(acme.id, even_if_stopped=True) as change:
        await skip_stopped(acme.deployment.service.ledger, change, acme.id, "forged")
    await _still_watching(globex)
    assert await found(acme) == []


async def _still_watching(organization: Organization) -> None:
    before = len(await found(organization))
    await write(
        organization.deployment,
        Touch(Relationship.parse(f"organization:{organization.id}#product@user:late")),
    )
    await wait_until(lambda: _has_more_findings(organization, before))


async def _import(organization: Organization, count: int) -> None:
    """Write more at once than WriteRelationships allows."""
    members = (
        f"organization:{organization.id}#product@user:{number:0100}" for number in range(count)
    )

    async def pages() -> AsyncIterator[ImportBulkRelationshipsRequest]:
        while page := [relationship_message(Relationship.parse(e)) for e in islice(members, 1000)]:
            yield ImportBulkRelationshipsRequest(relationships=page)

    key = organization.deployment.settings.spicedb_preshared_key.get_secret_value()
    signed = (("authorization", f"Bearer {key}"),)
    await organization.deployment.engine.ImportBulkRelationships(pages(), metadata=signed)


async def _has_finding(organization: Organization) -> bool:
    return bool(await found(organization))


async def _has_more_findings(organization: Organization, before: int) -> bool:
    return len(await found(organization)) > before


async def test_a_write_that_claims_to_rebuild_is_found_as_drift(
    acme: Organization, globex: Organization
) -> None:
    await watching(globex)
    claimed = {"rebuild": [{"organization": acme.id, "position": "1"}]}
    forged = f"organization:{acme.id}#administrator@user:eve"
    await write(acme.deployment, Touch(Relationship.parse(forged)), teamaccess=claimed)
    await wait_until(lambda: _has_finding(acme))
    await request_comparison(acme)
    await wait_until(lambda: _drifted(acme))


async def test_a_write_that_claims_to_remove_a_tenant_is_found(globex: Organization) -> None:
    await watching(globex)
    claimed = {"purge": [{"organization": "nobody", "request_id": "1"}]}
    forged = Relationship.parse("organization:nobody#administrator@user:eve")
    await write(globex.deployment, Touch(forged), teamaccess=claimed)
    nobody = replace(globex, id=OrganizationId("nobody"))
    await wait_until(lambda: _has_finding(nobody))
    reported = len(await found(nobody))
    await write(globex.deployment, Delete(forged), teamaccess=claimed)
    await wait_until(lambda: _has_more_findings(nobody, reported))


async def _drifted(organization: Organization) -> bool:
    async with organization.deployment.service.reads() as session:
        drift = select(Finding.id).where(
            Finding.organization_id == organization.id, Finding.kind == FindingKind.DRIFT
        )
        return (await session.scalar(drift)) is not None


async def test_a_write_that_cannot_be_judged_is_a_finding_and_the_watch_continues(
    acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    await watching(acme)

    async def judging(session: AsyncSession, engine: Engine, observed: ObservedWrite) -> Judgement:
        if any("poison" in str(update) for update in observed.updates):
            raise RuntimeError("a mistake of ours")
        return await judge_write(session, engine, observed)

    monkeypatch.setattr(watcher, "judge_write", judging)
    for user in ("poison", "later"):
        update = Touch(Relationship.parse(f"organization:{acme.id}#product@user:{user}"))
        await write(acme.deployment, update)

    async def later_found() -> bool:
        return "later" in str(await found(acme))

    await wait_until(later_found, seconds=20)
    assert "poison" not in str(await found(acme))
    async with acme.deployment.service.reads() as session:
        whys = select(Finding.details["why"].astext).where(Finding.organization_id == "*")
        assert watcher.NOT_JUDGED in set(await session.scalars(whys))
