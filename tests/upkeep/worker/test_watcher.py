"""Every write to SpiceDB that no ledger tells of is found within seconds, with what it changed."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
from authzed.api.v1.permission_service_pb2 import ImportBulkRelationshipsRequest
from sqlalchemy import select

from teamaccess.directory.organizations.stopped import skip_stopped
from teamaccess.engine import TooLarge, channel
from teamaccess.engine.convert import relationship_message
from teamaccess.relationships import Delete, Relationship, Touch, Update
from teamaccess.storage import Finding, FindingKind, OrganizationId
from tests.support.connections import Connection
from tests.support.sides import agreed, entries, seat
from tests.support.spicedb_proxy import another_process, until
from tests.support.steps import has_stopped
from tests.support.world import Team, World
from tests.upkeep.reconciliation.drift import ask_for
from tests.upkeep.worker.test_troubles import FORGED

pytestmark = pytest.mark.usefixtures("worker")


async def found(team: Team) -> list[dict[str, Any]]:
    """What was found about the organization, the oldest first."""
    async with team.world.service.reads() as session:
        rows = await session.scalars(
            select(Finding.details)
            .where(Finding.organization_id == team.id, Finding.kind == FindingKind.FOREIGN_WRITE)
            .order_by(Finding.id)
        )
        return list(rows)


async def write(world: World, *updates: Update, **metadata: Any) -> None:
    """Write to SpiceDB as somebody who has the key and goes round us."""
    await world.service.engine.write(updates, metadata=metadata)


async def watching(team: Team) -> None:
    """Wait until the worker sees what is written: it finds a first write of somebody else's."""
    probe = Touch(Relationship.parse(f"organization:{team.id}#product@user:probe"))
    await until(lambda: _seen(team, probe))


async def _seen(team: Team, probe: Touch) -> bool:
    await write(team.world, probe)
    await write(team.world, Delete(probe.relationship))
    await asyncio.sleep(0.1)
    return bool(await found(team))


async def test_a_write_past_the_ledger_is_found_with_what_it_changed(
    acme: Team, globex: Team
) -> None:
    await watching(globex)
    forged = f"organization:{acme.id}#administrator@user:eve"
    await write(acme.world, Touch(Relationship.parse(forged)))
    await until(lambda: _anything(acme))
    [finding] = await found(acme)
    assert finding["updates"] == [f"TOUCH {forged}"]
    assert finding["metadata"] == {}


async def test_what_goes_through_the_ledger_is_no_finding(acme: Team, globex: Team) -> None:
    await watching(globex)
    bob = await acme.member("bob", roles=["product"])
    await acme.change_roles(bob, "support")
    await acme.act("suspend", bob)
    await acme.act("remove", bob)
    await seat(acme, eve=["support"], dan=["product"])
    before = len(await found(globex))
    await write(globex.world, Touch(Relationship.parse(f"organization:{globex.id}#product@user:z")))
    await until(lambda: _more(globex, before))
    assert await found(acme) == []
    await agreed(acme)


async def test_somebody_who_names_a_position_of_the_ledger_is_found_all_the_same(
    acme: Team, globex: Team
) -> None:
    await watching(globex)
    bob = await acme.member("bob", roles=["support"])
    await acme.change_roles(bob, "product")
    given = (await entries(acme))[-2]
    claimed = {"changes": [{"organization": acme.id, "position": str(given.position)}]}
    again = f"organization:{acme.id}#support@user:{bob.id}"
    await write(acme.world, Touch(Relationship.parse(again)), teamaccess=claimed)
    await until(lambda: _anything(acme))
    [finding] = await found(acme)
    assert finding["updates"] == [f"TOUCH {again}"]


async def test_a_write_about_several_tenants_is_a_finding_about_each_with_its_own_updates_alone(
    acme: Team, globex: Team
) -> None:
    await watching(globex)
    ghost = replace(globex, id=OrganizationId(f"ghost-{globex.id}"))
    given = [
        f"organization:{acme.id}#administrator@user:eve",
        f"team:{acme.id}/pay#member@user:eve",
        f"organization:{ghost.id}#member@user:eve",
    ]
    await write(acme.world, *(Touch(Relationship.parse(each)) for each in given))
    await until(lambda: _anything(ghost))
    [about_acme], [about_ghost] = await found(acme), await found(ghost)
    assert sorted(about_acme["updates"]) == [f"TOUCH {each}" for each in given[:2]]
    assert about_ghost["updates"] == [f"TOUCH {given[2]}"]
    assert (about_acme["count"], about_ghost["count"]) == (2, 1)
    assert about_acme["zed_token"] == about_ghost["zed_token"]


async def test_an_old_position_s_marker_that_is_touched_passes_nothing_off(
    acme: Team, globex: Team
) -> None:
    await watching(globex)
    bob = await acme.member("bob", roles=["support"])
    await acme.act("remove", bob)
    given = (await entries(acme))[-2]
    claimed = {"changes": [{"organization": acme.id, "position": str(given.position)}]}
    gate = f"organization:{acme.id}#member@user:{bob.id}"
    marker = f"organization:{acme.id}#applied@ledger_position:{given.position}"
    marker += f"-{given.hash.hex()[:12]}[expiration:2099-01-01T00:00:00Z]"
    again = [Touch(Relationship.parse(each)) for each in (gate, marker)]
    await write(acme.world, *again, teamaccess=claimed)
    await until(lambda: _anything(acme))
    [finding] = await found(acme)
    assert sorted(finding["updates"]) == sorted(f"TOUCH {each.relationship}" for each in again)


async def test_a_write_that_claims_what_no_position_can_be_hides_nothing_that_follows(
    acme: Team, globex: Team
) -> None:
    await watching(globex)
    claimed = {"changes": [{"organization": acme.id, "position": "99999999999999999999"}]}
    forged = f"organization:{acme.id}#administrator@user:eve"
    await write(acme.world, Touch(Relationship.parse(forged)), teamaccess=claimed)
    await until(lambda: _anything(acme))
    await _still_watching(globex)


async def test_an_import_past_the_ledger_is_found_however_large(acme: Team, globex: Team) -> None:
    await watching(globex)
    await _import(acme, 40_000)
    await until(lambda: _anything(acme))
    assert (await found(acme))[0]["count"] == 40_000
    await _still_watching(globex)


async def test_what_no_message_can_hold_is_told_apart_from_an_outage(
    acme: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "LARGEST_MESSAGE", 100_000)
    async with another_process(acme.world) as second:
        engine = second.service.engine
        probe = Touch(Relationship.parse(f"organization:{acme.id}#product@user:probe"))
        since = await engine.write([probe])
        await _import(acme, 2000)
        with pytest.raises(TooLarge):
            await asyncio.wait_for(anext(engine.watch(since)), 10)


async def test_an_entry_that_nobody_can_read_and_was_given_up_hides_nothing_that_follows(
    acme: Team, globex: Team, application: Connection
) -> None:
    await watching(globex)
    await application.execute(FORGED, acme.id, "what nobody can read")
    await has_stopped(acme)
    async with acme.world.operator(acme.id, even_if_stopped=True) as change:
        await skip_stopped(acme.world.service.ledger, change, acme.id, "forged")
    await _still_watching(globex)
    assert await found(acme) == []


async def _still_watching(team: Team) -> None:
    before = len(await found(team))
    await write(team.world, Touch(Relationship.parse(f"organization:{team.id}#product@user:late")))
    await until(lambda: _more(team, before))


async def _import(team: Team, count: int) -> None:
    """Write so much at once as nobody can with WriteRelationships."""
    members = (f"organization:{team.id}#product@user:{number:0100}" for number in range(count))

    async def pages() -> AsyncIterator[ImportBulkRelationshipsRequest]:
        while page := [relationship_message(Relationship.parse(e)) for e in islice(members, 1000)]:
            yield ImportBulkRelationshipsRequest(relationships=page)

    key = team.world.settings.spicedb_preshared_key.get_secret_value()
    signed = (("authorization", f"Bearer {key}"),)
    await team.world.engine.ImportBulkRelationships(pages(), metadata=signed)


async def _anything(team: Team) -> bool:
    return bool(await found(team))


async def _more(team: Team, before: int) -> bool:
    return len(await found(team)) > before


async def test_a_write_that_says_it_rebuilds_is_found_and_the_organization_has_drifted(
    acme: Team, globex: Team
) -> None:
    await watching(globex)
    claimed = {"rebuild": [{"organization": acme.id, "position": "1"}]}
    forged = f"organization:{acme.id}#administrator@user:eve"
    await write(acme.world, Touch(Relationship.parse(forged)), teamaccess=claimed)
    await until(lambda: _anything(acme))
    await ask_for(acme)
    await until(lambda: _drifted(acme))


async def test_a_write_that_says_it_removes_a_tenant_is_found(globex: Team) -> None:
    await watching(globex)
    claimed = {"purge": [{"organization": "nobody", "request_id": "1"}]}
    forged = Relationship.parse("organization:nobody#administrator@user:eve")
    await write(globex.world, Touch(forged), teamaccess=claimed)
    nobody = replace(globex, id=OrganizationId("nobody"))
    await until(lambda: _anything(nobody))
    told = len(await found(nobody))
    await write(globex.world, Delete(forged), teamaccess=claimed)
    await until(lambda: _more(nobody, told))


async def _drifted(team: Team) -> bool:
    async with team.world.service.reads() as session:
        drift = select(Finding.id).where(
            Finding.organization_id == team.id, Finding.kind == FindingKind.DRIFT
        )
        return (await session.scalar(drift)) is not None
