"""Whoever may do anything to the tables is found out by whoever computes the chains again."""

from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import ARRAY, BigInteger, DateTime, LargeBinary, Table, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from teamaccess.ledger import UnknownOrganization, database
from teamaccess.ledger.chain import ChainKind, beginning, event_hash, ledger_hash
from teamaccess.ledger.heads import InvalidHeads, KeptHead, heads, kept_in
from teamaccess.ledger.read_chains import snapshot
from teamaccess.ledger.verify import NothingKept, entries_to_verify, verify
from teamaccess.local.postgres import OWNER, SUPERUSER
from teamaccess.models import Event, LedgerEntry
from tests.world import Team, World

NAMES = {"ledger": "organization_id", "events": "chain"}
HEAD_NAMES = {"ledger": "ledger_heads", "events": "event_heads"}
HASHES = {"ledger": "ledger_hash(t)", "events": "event_hash(t)"}

ANOTHER = {
    Text: "coalesce({0}, '') || 'x'",
    BigInteger: "{0} + 1000",
    DateTime: "{0} - '1 microsecond'::interval",
    LargeBinary: "coalesce({0}, '') || 'x'",
    JSONB: "{0} || '{{\"more\": 1}}'",
    ARRAY: "array_append({0}, 'TOUCH organization:a#member@user:b')",
}
"""For each type of column another value than the one there."""


def columns() -> Iterator[tuple[str, str]]:
    """Every column of both tables, and how it can be altered."""
    for model in (LedgerEntry, Event):
        table = model.__table__
        assert isinstance(table, Table)
        for column in table.columns:
            another = ANOTHER[type(column.type)].format(column.name)
            yield table.name, f"{column.name} = {another}"


@pytest.fixture(scope="module")
async def history(fintoc: World) -> Team:
    """An organization in which a few things have happened; tests leave it as it was."""
    team = await fintoc.found("verified")
    bob = await team.member("bob", roles=["product"])
    await team.change_roles(bob, "support")
    for verb in ("suspend", "reactivate", "remove"):
        await team.act(verb, bob)
    return team


@pytest.fixture
async def intruder(fintoc: World) -> AsyncIterator[AsyncConnection]:
    """Whoever may do anything, in a transaction that comes to nothing; no trigger hinders them."""
    url = fintoc.owner_url.replace(OWNER, SUPERUSER, 1).partition("://")[2]
    engine = database(f"postgresql+asyncpg://{url}", connections=1)
    async with engine.connect() as connection:
        await _do(connection, "SET LOCAL session_replication_role = replica")
        yield connection
        await connection.rollback()
    await engine.dispose()


async def _do(connection: AsyncConnection, *statements: str) -> None:
    for statement in statements:
        await connection.exec_driver_sql(statement)


async def _found(
    connection: AsyncConnection, team: Team, kept: Iterable[KeptHead] | None = None
) -> list[str]:
    """What is found in the organization, each as `kind position fault`."""
    verification = await verify(connection, team.id, kept)
    assert all(finding.chain == team.id for finding in verification.findings)
    return [f"{each.kind} {each.position} {each.fault}" for each in verification.findings]


async def _kept(connection: AsyncConnection, team: Team) -> list[KeptHead]:
    return [head async for head in heads(connection, team.id)]


async def _rewrite(connection: AsyncConnection, team: Team, table: str, start: int) -> None:
    """Compute the hashes of all entries from `start` on again, and the head's, as PostgreSQL does."""
    name, last = NAMES[table], await _last(connection, team, table)
    for position in range(start, last + 1):
        here = f"t.{name} = '{team.id}' AND t.position = {position}"
        await _do(
            connection,
            f"UPDATE {table} t SET previous_hash = p.hash FROM {table} p WHERE {here}"
            f" AND p.{name} = t.{name} AND p.position = t.position - 1",
            f"UPDATE {table} t SET hash = {HASHES[table]} WHERE {here}",
        )
    await _end(connection, team, table, last)


async def _end(connection: AsyncConnection, team: Team, table: str, last: int) -> None:
    """Have the row of the head say that the chain ends here."""
    at = ", decided_at = e.decided_at" if table == "ledger" else ""
    await _do(
        connection,
        f"UPDATE {HEAD_NAMES[table]} h SET position = e.position, hash = e.hash{at} FROM {table} e"
        f" WHERE h.{NAMES[table]} = '{team.id}' AND e.{NAMES[table]} = '{team.id}'"
        f" AND e.position = {last}",
    )


async def _last(connection: AsyncConnection, team: Team, table: str) -> int:
    query = f"SELECT max(position) FROM {table} WHERE {NAMES[table]} = '{team.id}'"
    return int((await connection.exec_driver_sql(query)).scalar_one())


async def test_everything_holds_in_the_whole_database(history: Team, fintoc: World) -> None:
    counted: list[int] = []
    async with snapshot(fintoc.settings.sqlalchemy_url) as connection:
        kept = [head async for head in heads(connection)]
        found = await verify(connection, kept=kept, progress=counted.append)
        expected = await entries_to_verify(connection)
    assert found.findings == []
    assert found.kept_heads == found.chains == len(kept)
    assert found.entries == sum(counted) == expected
    chains = {(head.kind, head.chain) for head in kept}
    assert chains >= {(kind, history.id) for kind in ChainKind}


@pytest.mark.parametrize(("table", "alteration"), list(columns()))
async def test_no_column_can_be_altered(
    history: Team, intruder: AsyncConnection, table: str, alteration: str
) -> None:
    where = f"WHERE {NAMES[table]} = '{history.id}' AND position = 3"
    await _do(intruder, f"UPDATE {table} SET {alteration} {where}")
    column = alteration.partition(" ")[0]
    fault = {
        NAMES[table]: "missing",
        "position": "missing",
        "previous_hash": "does_not_follow",
    }.get(column, "altered")
    assert f"{table} 3 {fault}" in await _found(intruder, history)


@pytest.mark.parametrize(
    ("table", "alteration"),
    [
        ("ledger", "decided_at = 'infinity'"),
        ("ledger", "decided_at = '-infinity'"),
        ("ledger", "decided_at = '20000-01-01T00:00:00Z'"),
        ("ledger", "decided_at = '0044-03-15T12:00:00Z BC'"),
        ("ledger", "reason_hash = ''"),
        ("events", "occurred_at = 'infinity'"),
        ("events", "reason_hash = ''"),
        ("events", "details = '[]'"),
        ("events", "subject = NULL"),
    ],
)
async def test_neither_can_it_be_altered_to_something_odd(
    history: Team, intruder: AsyncConnection, table: str, alteration: str
) -> None:
    where = f"WHERE {NAMES[table]} = '{history.id}' AND position = 3"
    await _do(intruder, f"UPDATE {table} SET {alteration} {where}")
    assert await _found(intruder, history) == [f"{table} 3 altered"]


@pytest.mark.parametrize(
    ("alteration", "hashed_alike"),
    [
        ("ARRAY[array_to_string(updates, E'\\n')]", True),
        ("updates || ARRAY[NULL]", True),
        ("updates[2:] || updates[:1]", False),
        ("ARRAY[updates]", False),
    ],
)
async def test_updates_that_no_table_would_take_are_told_apart(
    history: Team, intruder: AsyncConnection, alteration: str, hashed_alike: bool
) -> None:
    """Without the constraints, PostgreSQL's own function would give some of them the same hash."""
    first = f"FROM ledger t WHERE organization_id = '{history.id}' AND position = 1"
    hashes = f"SELECT hash = ledger_hash(t) {first}"
    await _do(
        intruder,
        "ALTER TABLE ledger DROP CONSTRAINT ledger_one_line_check",
        "ALTER TABLE ledger DROP CONSTRAINT ledger_updates_check",
        f"UPDATE ledger SET updates = {alteration} {first.partition(' t ')[2]}",
    )
    if hashed_alike:
        assert (await intruder.exec_driver_sql(hashes)).scalar_one()
    assert await _found(intruder, history) == ["ledger 1 altered"]


@pytest.mark.parametrize("table", NAMES)
async def test_an_entry_taken_out_of_the_middle_is_missing(
    history: Team, intruder: AsyncConnection, table: str
) -> None:
    await _do(
        intruder, f"DELETE FROM {table} WHERE {NAMES[table]} = '{history.id}' AND position = 3"
    )
    alone = ["ledger 3 application_alone"] if table == "ledger" else []
    assert await _found(intruder, history) == [f"{table} 3 missing", *alone]


@pytest.mark.parametrize("table", NAMES)
async def test_an_entry_taken_out_shows_also_when_the_others_move_up(
    history: Team, intruder: AsyncConnection, table: str
) -> None:
    where = f"WHERE {NAMES[table]} = '{history.id}'"
    await _do(intruder, f"DELETE FROM {table} {where} AND position = 3")
    for position in range(4, await _last(intruder, history, table) + 1):
        move = f"UPDATE {table} SET position = position - 1 {where} AND position = {position}"
        await _do(intruder, move)
    assert f"{table} 3 does_not_follow" in await _found(intruder, history)


@pytest.mark.parametrize("table", NAMES)
async def test_two_entries_that_change_places_do_not_follow(
    history: Team, intruder: AsyncConnection, table: str
) -> None:
    for here, there in ((3, -1), (4, 3), (-1, 4)):
        await _do(
            intruder,
            f"UPDATE {table} SET position = {there}"
            f" WHERE {NAMES[table]} = '{history.id}' AND position = {here}",
        )
    assert await _found(intruder, history) == [f"{table} 3 does_not_follow"]


@pytest.mark.parametrize("table", NAMES)
async def test_two_entries_that_change_contents_are_altered(
    history: Team, intruder: AsyncConnection, table: str
) -> None:
    swapped = {
        "ledger": ["updates", "actor", "request_id", "decided_at", "catalog_version"],
        "events": ["kind", "actor", "request_id", "subject", "details", "occurred_at"],
    }[table]
    await _do(
        intruder,
        f"UPDATE {table} t SET {', '.join(f'{name} = o.{name}' for name in swapped)}"
        f" FROM {table} o WHERE t.position IN (3, 4) AND o.position = 7 - t.position"
        f" AND t.{NAMES[table]} = '{history.id}' AND o.{NAMES[table]} = '{history.id}'",
    )
    assert await _found(intruder, history) == [f"{table} 3 altered"]


async def test_a_forged_entry_does_not_follow_or_shows_at_the_head(
    history: Team, intruder: AsyncConnection
) -> None:
    last = await _last(intruder, history, "ledger")
    forged = (
        "INSERT INTO ledger SELECT organization_id, {}, updates, actor, channel, request_id,"
        " catalog_version, reason_hash, decided_at, {}, {} FROM ledger e"
        f" WHERE organization_id = '{history.id}' AND position = {last}"
    )
    begun = await intruder.begin_nested()
    await _do(intruder, forged.format(0, "''", "'x'"))
    assert "ledger 0 does_not_follow" in await _found(intruder, history)
    await begun.rollback()
    begun = await intruder.begin_nested()
    await _do(intruder, forged.format(last + 1, "hash", "'x'"))
    assert f"ledger {last + 1} altered" in await _found(intruder, history)
    await begun.rollback()
    await _do(
        intruder,
        forged.format(last + 1, "hash", "'x'"),
        f"UPDATE ledger t SET hash = ledger_hash(t) WHERE position = {last + 1}"
        f" AND organization_id = '{history.id}'",
    )
    assert await _found(intruder, history) == [
        f"ledger {last + 1} head_differs",
        f"ledger {last + 1} application_missing",
    ]


@pytest.mark.parametrize("table", NAMES)
async def test_what_is_cut_off_is_missing_by_the_head_or_by_a_kept_one(
    history: Team, intruder: AsyncConnection, table: str
) -> None:
    kept, last = await _kept(intruder, history), await _last(intruder, history, table)
    await _do(
        intruder,
        f"DELETE FROM {table} WHERE {NAMES[table]} = '{history.id}' AND position = {last}",
        f"DELETE FROM ledger_applications WHERE position = {last if table == 'ledger' else -1}"
        f" AND organization_id = '{history.id}'",
    )
    assert await _found(intruder, history) == [f"{table} {last} missing"]
    await _end(intruder, history, table, last - 1)
    assert await _found(intruder, history) == []
    assert await _found(intruder, history, kept) == [f"{table} {last} kept_head_missing"]


@pytest.mark.parametrize("table", NAMES)
async def test_what_is_written_anew_with_its_hashes_differs_from_a_kept_head(
    history: Team, intruder: AsyncConnection, table: str
) -> None:
    kept, last = await _kept(intruder, history), await _last(intruder, history, table)
    where = f"WHERE {NAMES[table]} = '{history.id}' AND position = 3"
    await _do(intruder, f"UPDATE {table} SET actor = 'user:nobody' {where}")
    await _rewrite(intruder, history, table, 3)
    assert await _found(intruder, history) == []
    assert await _found(intruder, history, kept) == [f"{table} {last} kept_head_differs"]


async def test_a_time_that_goes_back_shows_although_all_hashes_fit(
    history: Team, intruder: AsyncConnection
) -> None:
    await _do(
        intruder,
        "UPDATE ledger SET decided_at = decided_at - '1 day'::interval"
        f" WHERE organization_id = '{history.id}' AND position = 3",
    )
    await _rewrite(intruder, history, "ledger", 3)
    assert await _found(intruder, history) == ["ledger 3 time_goes_back"]


@pytest.mark.parametrize(
    ("alteration", "fault"),
    [
        ("UPDATE ledger_heads SET hash = 'x' WHERE {}", "head_differs"),
        ("UPDATE ledger_heads SET decided_at = now() WHERE {}", "head_differs"),
        ("UPDATE ledger_heads SET decided_at = 'infinity' WHERE {}", "head_differs"),
        ("UPDATE ledger_heads SET position = position - 1 WHERE {}", "head_differs"),
        ("DELETE FROM ledger_heads WHERE {}", "head_missing"),
    ],
)
async def test_the_row_of_a_head_fits_the_last_entry(
    history: Team, intruder: AsyncConnection, alteration: str, fault: str
) -> None:
    last = await _last(intruder, history, "ledger")
    await _do(intruder, alteration.format(f"organization_id = '{history.id}'"))
    assert await _found(intruder, history) == [f"ledger {last} {fault}"]


async def test_an_entry_that_nobody_would_bring_into_the_engine_shows(
    history: Team, intruder: AsyncConnection
) -> None:
    await _do(
        intruder,
        "DELETE FROM ledger_applications"
        f" WHERE organization_id = '{history.id}' AND position IN (2, 4)",
    )
    assert await _found(intruder, history) == ["ledger 2 application_missing"]


async def test_an_organization_that_vanished_whole_is_known_by_its_kept_heads(
    history: Team, intruder: AsyncConnection
) -> None:
    kept = await _kept(intruder, history)
    tables = ("ledger_applications", "ledger", "ledger_heads")
    for table in tables:
        await _do(intruder, f"DELETE FROM {table} WHERE organization_id = '{history.id}'")
    await _do(
        intruder,
        *(
            f"DELETE FROM {table} WHERE chain = '{history.id}'"
            for table in ("events", "event_heads")
        ),
        f"DELETE FROM organizations WHERE id = '{history.id}'",
    )
    assert await _found(intruder, history, kept) == [
        f"{head.kind} {head.position} chain_missing" for head in kept
    ]
    with pytest.raises(UnknownOrganization):
        await verify(intruder, history.id)


async def test_chains_that_nothing_but_an_entry_knows_of_are_looked_at(
    history: Team, intruder: AsyncConnection
) -> None:
    """Among all the others, in front of them and behind them."""
    for table, name in NAMES.items():
        await _do(
            intruder,
            f"UPDATE {table} SET {name} = '000' WHERE {name} = '{history.id}' AND position = 3",
            f"UPDATE {table} SET {name} = 'zzz' WHERE {name} = '{history.id}' AND position = 4",
        )
    found = await verify(intruder)
    told = [f"{each.kind} {each.chain} {each.position} {each.fault}" for each in found.findings]
    for table in NAMES:
        assert f"{table} 000 1 missing" in told
        assert f"{table} zzz 1 missing" in told
        assert f"{table} {history.id} 3 missing" in told


async def test_an_organization_without_any_entry_holds(
    fintoc: World, intruder: AsyncConnection
) -> None:
    await _do(
        intruder,
        "SET LOCAL session_replication_role = origin",
        "INSERT INTO organizations (id, name) VALUES ('empty-one', 'Empty')",
    )
    found = await verify(intruder, "empty-one")
    assert (found.holds, found.chains, found.entries) == (True, 1, 0)
    kept = [head async for head in heads(intruder, "empty-one")]
    assert (await verify(intruder, "empty-one", kept)).holds
    await _do(intruder, "UPDATE ledger_heads SET hash = 'x' WHERE organization_id = 'empty-one'")
    assert not (await verify(intruder, "empty-one")).holds


async def test_a_reason_can_be_erased_and_not_altered(
    history: Team, intruder: AsyncConnection
) -> None:
    given = f"(SELECT reason_hash FROM ledger WHERE organization_id = '{history.id}')"
    before = await verify(intruder, history.id)
    assert (before.reasons, before.reasons_erased) == (1, 0)
    await _do(intruder, f"UPDATE reasons SET text = 'another' WHERE hash IN {given}")
    assert await _found(intruder, history) == ["ledger 1 reason_altered"]
    await _do(intruder, f"DELETE FROM reasons WHERE hash IN {given}")
    after = await verify(intruder, history.id)
    assert (after.holds, after.reasons, after.reasons_erased) == (True, 1, 1)


async def test_heads_are_read_as_they_are_written_and_nothing_else_is(
    history: Team, intruder: AsyncConnection
) -> None:
    with pytest.raises(NothingKept, match="none was kept of any chain"):
        await verify(intruder, kept=[])
    elsewhere = [head async for head in heads(intruder, "-")]
    with pytest.raises(NothingKept, match=f"none was kept of {history.id}"):
        await verify(intruder, history.id, elsewhere)
    with pytest.raises(InvalidHeads, match="some file, line 1: that is no head"):
        list(kept_in([b'{"kind": "ledger", "chain": "a b"}'], "some file"))


def test_the_definition_is_the_one_that_is_written_down() -> None:
    """The examples of docs/chains.md."""
    first = beginning(ChainKind.LEDGER, "acme")
    at = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
    entry = ledger_hash(
        "acme", 1, first, at, "operator:ines", "operator", "r1", "c1", None,
        ["TOUCH organization:acme#member@user:usr_1"],
    )  # fmt: skip
    began = beginning(ChainKind.EVENTS, "acme")
    event = event_hash(
        "acme", 1, began, at, "organization_created", "operator:ines", "operator", "r1",
        None, None, '{"name": "Acme"}',
    )  # fmt: skip
    assert entry is not None
    assert event is not None
