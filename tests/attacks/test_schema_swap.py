"""Changes are judged by one schema, the one that `schema apply` recorded.

The attacks: a process that still runs yesterday's catalog; and somebody with SpiceDB's key who swaps the
schema for a moment, has the API make an administrator, and swaps it back.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from teamaccess.catalog import find_catalog_file, load_catalog
from teamaccess.directory.organizations.findings import resolve
from teamaccess.directory.schemas.apply import (
    SchemaStillForeign,
    apply_schema,
    refuse_while_foreign,
)
from teamaccess.engine import ObservedWrite, TooLarge
from teamaccess.relationships import Delete, Relationship, Touch
from teamaccess.storage import Finding, FindingKind, LedgerEntry
from tests.support.spicedb_proxy import through, until, working
from tests.support.steps import enlist, refused
from tests.support.world import OPERATOR, Person, Team, World, open_world
from tests.upkeep.reconciliation.apart import Ground


async def foreign_schemas(world: World) -> list[dict[str, Any]]:
    """What was found of schemas that nobody recorded, the oldest first."""
    async with world.service.reads() as session:
        rows = await session.scalars(
            select(Finding.details)
            .where(Finding.kind == FindingKind.FOREIGN_SCHEMA, Finding.resolved_at.is_(None))
            .order_by(Finding.id)
        )
        return list(rows)


async def look_through(world: World) -> None:
    """Resolve what was found of schemas, as an operator who has looked at it."""
    async with world.service.ledger.change(OPERATOR) as change:
        ids = await change.session.scalars(
            select(Finding.id).where(
                Finding.kind == FindingKind.FOREIGN_SCHEMA, Finding.resolved_at.is_(None)
            )
        )
        await resolve(change, list(ids), "looked at it")
        await world.service.ledger.commit(change)


async def positions(team: Team) -> int:
    """How many entries the organization's ledger has."""
    async with team.world.service.reads() as session:
        mine = select(func.count()).where(LedgerEntry.organization_id == team.id)
        return (await session.execute(mine)).scalar_one()


def opened_up(schema: str) -> str:
    """The schema, with every member an administrator; it keeps the proof of the real one."""
    here = "permission administration = administrator & member"
    assert here in schema
    return schema.replace(here, "permission administration = member")


async def test_a_schema_that_stood_for_a_moment_is_found_and_stops_changes(apart: World) -> None:
    acme = await apart.create("acme")
    bob = await acme.member("bob", roles=["support"])
    service = apart.service
    async with working(apart):
        await watched(apart, acme)
        await service.engine.write_schema(opened_up(service.catalog.schema()))
        made = await acme.change_roles(bob, "developer", "product", by=bob)
        await service.engine.write_schema(service.catalog.schema())
        await until(lambda: _any(apart))
        [finding] = await foreign_schemas(apart)
        assert finding["differences"] == ["permission_expr_changed"]

        before = await positions(acme)
        refused(await acme.invite("eve", ["support"]), 503, "foreign_schema_found")
        refused(await acme.change_roles(bob, "finance"), 503, "foreign_schema_found")
        assert await positions(acme) == before
        # what only takes away is possible all the same
        assert (await acme.act("remove", bob)).status_code == 204

        await look_through(apart)
        assert (await acme.invite("eve", ["support"])).status_code == 201
        assert await foreign_schemas(apart) == []
    assert made.status_code in (200, 403)


async def _changed(team: Team, whom: Person, role: str) -> bool:
    """Whether a role change succeeds; SpiceDB may judge by the schema of half a second ago."""
    return (await team.change_roles(whom, role)).status_code == 200


async def watched(world: World, team: Team) -> None:
    """Wait until the worker sees what is written, by a first write past the ledger."""
    probe = Touch(Relationship.parse(f"organization:{team.id}#product@user:probe"))
    while not await _found(world, FindingKind.FOREIGN_WRITE):
        await world.service.engine.write([probe])
        await world.service.engine.write([Delete(probe.relationship)])


async def _found(world: World, kind: FindingKind) -> bool:
    async with world.service.reads() as session:
        found = select(Finding.id).where(Finding.kind == kind).limit(1)
        return await session.scalar(found) is not None


async def _any(world: World) -> bool:
    return bool(await foreign_schemas(world))


async def test_a_foreign_schema_that_still_stands_is_found_again(apart: World) -> None:
    await apart.service.engine.write_schema(opened_up(apart.service.catalog.schema()))
    async with working(apart):
        await until(lambda: _any(apart))
    await look_through(apart)
    async with working(apart):
        await until(lambda: _any(apart))


async def test_a_schema_that_was_applied_is_no_finding(apart: World, tmp_path: Path) -> None:
    async with working(apart):
        newer = yesterday_s_and_today_s(tmp_path)[1]
        service = apart.service
        await apply_schema(service.ledger, service.engine, newer, OPERATOR)
        await apply_schema(service.ledger, service.engine, service.catalog, OPERATOR)
        await service.engine.write_schema(service.catalog.schema())  # the same one again
        # what the worker has judged by now it has judged in order
        await service.engine.write_schema(opened_up(service.catalog.schema()))
        await until(lambda: _any(apart))
        assert len(await foreign_schemas(apart)) == 1


def yesterday_s_and_today_s(folder: Path) -> Any:
    """Fintoc's catalog, and one in which webhooks are deleted by other roles."""
    text = find_catalog_file("fintoc").read_text()
    later = folder / "fintoc.yaml"
    role = "  cashier:\n    name: Cashier\n    description: New.\n    granted_by: dashboard\nresources:"
    later.write_text(text.replace("resources:", role, 1))
    return load_catalog("fintoc"), load_catalog(str(later))


async def test_a_process_with_yesterday_s_catalog_changes_nothing(
    apart: World, tmp_path: Path
) -> None:
    acme = await apart.create("acme")
    bob = (await enlist(acme, {"bob": ["support"]}))["bob"]
    _, newer = yesterday_s_and_today_s(tmp_path)
    service = apart.service
    await apply_schema(service.ledger, service.engine, newer, OPERATOR)

    async def refuses() -> bool:
        """SpiceDB may judge by the schema of half a second ago, and proves that one then."""
        answer = await acme.change_roles(bob, "support")
        return answer.is_error and answer.json()["code"] == "schema_mismatch"

    await until(refuses)
    before = await positions(acme)
    refused(await acme.change_roles(bob, "product"), 503, "schema_mismatch")
    refused(await acme.invite("eve", ["support"]), 503, "schema_mismatch")
    assert await positions(acme) == before
    assert await acme.can(bob, "refunds_create")

    # back to the catalog of this process, and everything goes on by itself
    await apply_schema(service.ledger, service.engine, service.catalog, OPERATOR)
    await until(lambda: _changed(acme, bob, "product"))


async def test_a_process_with_tomorrow_s_catalog_changes_nothing_before_it_is_applied(
    apart: World, ground: Ground, tmp_path: Path
) -> None:
    acme = await apart.create("acme")
    bob = (await enlist(acme, {"bob": ["support"]}))["bob"]
    yesterday_s_and_today_s(tmp_path)
    settings = apart.settings.model_copy(update={"catalog": str(tmp_path / "fintoc.yaml")})
    async with open_world(settings, apart.owner_url) as tomorrow:
        ahead = through(tomorrow, acme)
        refused(await ahead.change_roles(bob, "cashier"), 503, "schema_mismatch")
        assert not any("cashier" in update for entry in await acme.ledger() for update in entry)
        service = tomorrow.service
        await apply_schema(service.ledger, service.engine, service.catalog, OPERATOR)
        await until(lambda: _changed(ahead, bob, "cashier"))


async def test_a_schema_that_takes_too_long_to_compare_is_foreign(
    apart: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must not blind the watch: what comes after it is found, too."""
    acme = await apart.create("acme")
    service = apart.service
    async with working(apart):
        await watched(apart, acme)
        monkeypatch.setattr("teamaccess.upkeep.worker.schema_watch.COMPARED_WITHIN_SECONDS", 0.0001)
        await service.engine.write_schema(opened_up(service.catalog.schema()))
        await service.engine.write_schema(service.catalog.schema())
        await until(lambda: _any(apart))
        refused(await acme.invite("eve", ["support"]), 503, "foreign_schema_found")


async def test_a_gap_in_what_is_watched_stops_changes(
    apart: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows which schemas stood meanwhile."""
    acme = await apart.create("acme")
    real, torn = apart.service.engine.watch, False

    def watch(since: str | None = None) -> AsyncIterator[ObservedWrite]:
        nonlocal torn
        if not torn:
            torn = True
            raise TooLarge("a write of 36 MB")
        return real(since)

    async with working(apart):
        await watched(apart, acme)
        monkeypatch.setattr(apart.service.engine, "watch", watch)
    async with working(apart):
        await until(lambda: _any(apart))
    [finding] = await foreign_schemas(apart)
    assert finding["differences"] == ["unknown: a write of 36 MB"]
    refused(await acme.invite("eve", ["support"]), 503, "foreign_schema_found")


async def test_a_finding_is_not_resolved_while_the_foreign_schema_stands(apart: World) -> None:
    service = apart.service
    await service.engine.write_schema(opened_up(service.catalog.schema()))
    async with working(apart):
        await until(lambda: _any(apart))
    async with service.reads() as session:
        kind = Finding.kind == FindingKind.FOREIGN_SCHEMA
        ids = set(await session.scalars(select(Finding.id).where(kind)))
        with pytest.raises(SchemaStillForeign):
            await refuse_while_foreign(session, service.engine, ids)
        await apply_schema(service.ledger, service.engine, service.catalog, OPERATOR)
        await refuse_while_foreign(session, service.engine, ids)
