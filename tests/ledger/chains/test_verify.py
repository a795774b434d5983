"""Every change to the tables by an attacker with full access is detected by verifying the chains."""

from collections.abc import Iterator

import pytest
from sqlalchemy import ARRAY, BigInteger, DateTime, LargeBinary, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from teamaccess.ledger import UnknownOrganization
from teamaccess.ledger.chains.read_chains import PAGE_SIZE, snapshot
from teamaccess.ledger.chains.verify import entries_to_verify, verify_chains
from teamaccess.storage import Event, LedgerEntry
from tests.support.database_connections import create_history
from tests.support.deployment import Deployment
from tests.support.intruder import CHAIN_COLUMNS, EMPTY_ORGANIZATION, HEADS, Intruder, of
from tests.support.organization import Organization

OTHER_VALUES = {
    Text: "coalesce({0}, '') || 'x'",
    BigInteger: "{0} + 1000",
    DateTime: "{0} - '1 microsecond'::interval",
    LargeBinary: "coalesce({0}, '') || 'x'",
    JSONB: "{0} || '{{\"more\": 1}}'",
    ARRAY: "array_append({0}, 'TOUCH organization:a#member@user:b')",
}
"""For each type of column another value than the one there."""


def columns() -> Iterator[tuple[str, str, str]]:
    """Every column of both tables, and another value for it."""
    for model in (LedgerEntry, Event):
        table = model.__table__
        assert isinstance(table, Table)
        for column in table.columns:
            if column.name == "transaction":
                continue  # it is not hashed; tests/attacks covers it
            yield table.name, column.name, OTHER_VALUES[type(column.type)].format(column.name)


async def test_everything_holds_in_the_whole_database(
    isolated: Deployment,
) -> None:
    await create_history(isolated)
    counted: list[int] = []
    async with snapshot(isolated.settings.sqlalchemy_url) as connection:
        found = await verify_chains(connection, progress=counted.append)
        expected = await entries_to_verify(connection)
    assert found.findings == []
    assert found.chains >= 2
    assert found.entries == sum(counted) == expected


@pytest.mark.parametrize(("table", "column", "value"), list(columns()))
async def test_no_column_can_be_altered(
    history: Organization, intruder: Intruder, table: str, column: str, value: str
) -> None:
    await intruder.do(f"UPDATE {table} SET {column} = {value} WHERE {of(history, table, 3)}")
    fault = {
        CHAIN_COLUMNS[table]: "missing",
        "position": "missing",
        "previous_hash": "does_not_follow",
    }.get(column, "altered")
    assert f"{table} 3 {fault}" in await intruder.chain_findings(history)


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
async def test_no_column_can_become_an_odd_value(
    history: Organization, intruder: Intruder, table: str, alteration: str
) -> None:
    await intruder.do("ALTER TABLE events DROP CONSTRAINT events_details_check")
    await intruder.do(f"UPDATE {table} SET {alteration} WHERE {of(history, table, 3)}")
    assert await intruder.chain_findings(history) == [f"{table} 3 altered"]


async def test_null_differs_from_an_empty_text(history: Organization, intruder: Intruder) -> None:
    """Their hashes are equal, but no empty text is ever written there."""
    await intruder.do(
        "SET LOCAL session_replication_role = origin",
        "INSERT INTO events (chain, kind, actor, channel, request_id, details)"
        f" VALUES ('{history.id}', 'signed_in', 'user:x', 'api', 'r', '{{}}')",
        "SET LOCAL session_replication_role = replica",
    )
    here = of(history, "events", await intruder.last(history, "events"))
    await intruder.do(f"UPDATE events SET subject = '' WHERE {here}")
    assert await intruder.ask(f"SELECT hash = event_hash(t) FROM events t WHERE {here}")
    [found] = await intruder.chain_findings(history)
    assert found.endswith(" altered")


@pytest.mark.parametrize(
    ("updates", "hashed_alike"),
    [
        ("ARRAY[array_to_string(updates, E'\\n')]", True),
        ("updates || ARRAY[NULL]", True),
        ("updates[2:] || updates[:1]", False),
        ("ARRAY[updates]", None),  # which PostgreSQL's own function does not take
    ],
)
async def test_updates_are_distinguished_even_without_the_constraint(
    history: Organization, intruder: Intruder, updates: str, hashed_alike: bool | None
) -> None:
    here = of(history, "ledger", 1)
    await intruder.do(
        "ALTER TABLE ledger DROP CONSTRAINT ledger_one_line_check",
        "ALTER TABLE ledger DROP CONSTRAINT ledger_updates_check",
        f"UPDATE ledger SET updates = {updates} WHERE {here}",
    )
    if hashed_alike is not None:
        alike = f"SELECT hash = ledger_hash(t) FROM ledger t WHERE {here}"
        assert await intruder.ask(alike) is hashed_alike
    assert await intruder.chain_findings(history) == ["ledger 1 altered"]


@pytest.mark.parametrize(
    ("table", "column"), [("ledger", "actor"), ("events", "kind")], ids=["ledger", "events"]
)
async def test_a_value_that_cannot_be_hashed_is_altered(
    history: Organization, intruder: Intruder, table: str, column: str
) -> None:
    last = await intruder.last(history, table)
    await intruder.do(
        f"ALTER TABLE {table} DROP CONSTRAINT {table}_one_line_check, ALTER hash DROP NOT NULL",
        f"ALTER TABLE {HEADS[table]} ALTER hash DROP NOT NULL",
        f"UPDATE {table} SET {column} = E'a\nb', hash = NULL WHERE {of(history, table, last)}",
        f"UPDATE {HEADS[table]} SET hash = NULL WHERE {of(history, table)}",
    )
    assert await intruder.chain_findings(history) == [f"{table} {last} altered"]


@pytest.mark.parametrize("table", CHAIN_COLUMNS)
async def test_an_entry_removed_from_the_middle_is_missing(
    history: Organization, intruder: Intruder, table: str
) -> None:
    await intruder.do(f"DELETE FROM {table} WHERE {of(history, table, 3)}")
    alone = ["ledger 3 application_alone"] if table == "ledger" else []
    assert await intruder.chain_findings(history) == [f"{table} 3 missing", *alone]


@pytest.mark.parametrize("table", CHAIN_COLUMNS)
async def test_a_removed_entry_is_detected_even_if_later_ones_are_renumbered(
    history: Organization, intruder: Intruder, table: str
) -> None:
    last = await intruder.last(history, table)
    await intruder.do(f"DELETE FROM {table} WHERE {of(history, table, 3)}")
    for position in range(4, last + 1):
        here = of(history, table, position)
        await intruder.do(f"UPDATE {table} SET position = position - 1 WHERE {here}")
    assert f"{table} 3 does_not_follow" in await intruder.chain_findings(history)


@pytest.mark.parametrize("table", CHAIN_COLUMNS)
async def test_entries_that_swap_positions_do_not_follow(
    history: Organization, intruder: Intruder, table: str
) -> None:
    for here, there in ((3, -1), (4, 3), (-1, 4)):
        await intruder.do(f"UPDATE {table} SET position = {there} WHERE {of(history, table, here)}")
    assert await intruder.chain_findings(history) == [f"{table} 3 does_not_follow"]


@pytest.mark.parametrize(
    ("table", "contents"),
    [
        ("ledger", ["updates", "actor", "request_id", "decided_at", "catalog_version"]),
        ("events", ["kind", "actor", "request_id", "subject", "details", "occurred_at"]),
    ],
)
async def test_entries_that_swap_contents_are_altered(
    history: Organization, intruder: Intruder, table: str, contents: list[str]
) -> None:
    await intruder.do(
        f"UPDATE {table} t SET {', '.join(f'{column} = o.{column}' for column in contents)}"
        f" FROM {table} o WHERE t.position IN (3, 4) AND o.position = 7 - t.position"
        f" AND t.{of(history, table)} AND o.{of(history, table)}"
    )
    assert await intruder.chain_findings(history) == [f"{table} 3 altered"]


FORGED = """
INSERT INTO ledger SELECT organization_id, {0}, updates, actor, channel, request_id, catalog_version,
  reason_hash, decided_at, {1}, 'x' FROM ledger WHERE {2}
"""


async def test_a_forged_entry_before_all_others_does_not_follow(
    history: Organization, intruder: Intruder
) -> None:
    await intruder.do(FORGED.format(0, "''", of(history, "ledger", 1)))
    assert "ledger 0 does_not_follow" in await intruder.chain_findings(history)


async def test_a_forged_entry_in_the_middle_breaks_what_comes_after_it(
    history: Organization, intruder: Intruder
) -> None:
    """Its hash and the hash before it are right. The entries after it have moved by one position."""
    last = await intruder.last(history, "ledger")
    for position in range(last, 2, -1):
        here = of(history, "ledger", position)
        await intruder.do(f"UPDATE ledger SET position = position + 1 WHERE {here}")
    await intruder.do(
        FORGED.format(3, "hash", of(history, "ledger", 2)),
        f"UPDATE ledger t SET hash = ledger_hash(t) WHERE {of(history, 'ledger', 3)}",
    )
    assert "ledger 4 does_not_follow" in await intruder.chain_findings(history)


async def test_a_forged_entry_at_the_end_does_not_match_the_head(
    history: Organization, intruder: Intruder
) -> None:
    last = await intruder.last(history, "ledger")
    forged = last + 1
    await intruder.do(FORGED.format(forged, "hash", of(history, "ledger", last)))
    assert f"ledger {forged} altered" in await intruder.chain_findings(history)
    await intruder.do(
        f"UPDATE ledger t SET hash = ledger_hash(t) WHERE {of(history, 'ledger', forged)}"
    )
    assert await intruder.chain_findings(history) == [
        f"ledger {forged} head_differs",
        f"ledger {forged} application_missing",
    ]


async def test_a_time_that_goes_back_is_detected_although_every_hash_matches(
    history: Organization, intruder: Intruder
) -> None:
    await intruder.do(
        "UPDATE ledger SET decided_at = decided_at - '1 day'::interval"
        f" WHERE {of(history, 'ledger', 3)}"
    )
    await intruder.rehash_from(history, "ledger", 3)
    assert await intruder.chain_findings(history) == ["ledger 3 time_goes_back"]


@pytest.mark.parametrize("table", CHAIN_COLUMNS)
async def test_truncated_entries_are_missing_as_long_as_the_head_remains(
    history: Organization, intruder: Intruder, table: str
) -> None:
    last = await intruder.last(history, table)
    await intruder.do(f"DELETE FROM {table} WHERE {of(history, table)} AND position >= {last - 1}")
    assert f"{table} {last - 1} missing" in await intruder.chain_findings(history)


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
async def test_the_row_of_a_head_matches_the_last_entry(
    history: Organization, intruder: Intruder, alteration: str, fault: str
) -> None:
    last = await intruder.last(history, "ledger")
    await intruder.do(alteration.format(of(history, "ledger")))
    assert await intruder.chain_findings(history) == [f"ledger {last} {fault}"]


async def test_an_entry_without_a_delivery_is_detected(
    history: Organization, intruder: Intruder
) -> None:
    await intruder.do(
        f"DELETE FROM ledger_applications WHERE {of(history, 'ledger')} AND position IN (2, 4)"
    )
    assert await intruder.chain_findings(history) == ["ledger 2 application_missing"]


async def test_chains_that_only_an_entry_mentions_are_verified(
    history: Organization, intruder: Intruder
) -> None:
    """One of these chains sorts before all others, and one behind them."""
    for table, name in CHAIN_COLUMNS.items():
        for position, chain in ((3, "!!!"), (4, "~~~")):
            here = of(history, table, position)
            await intruder.do(f"UPDATE {table} SET {name} = '{chain}' WHERE {here}")
    found = await verify_chains(intruder.connection)
    reported = [f"{each.kind} {each.chain} {each.position} {each.fault}" for each in found.findings]
    for table in CHAIN_COLUMNS:
        assert {f"{table} {chain} 1 missing" for chain in ("!!!", "~~~")} <= set(reported)
        assert f"{table} {history.id} 3 missing" in reported


async def test_an_organization_without_any_entry_holds(intruder: Intruder) -> None:
    await intruder.do(
        "SET LOCAL session_replication_role = origin",
        *EMPTY_ORGANIZATION,
    )
    found = await verify_chains(intruder.connection, "empty-one")
    assert (found.intact, found.chains, found.entries) == (True, 2, 1)
    await intruder.do("UPDATE ledger_heads SET hash = 'x' WHERE organization_id = 'empty-one'")
    assert not (await verify_chains(intruder.connection, "empty-one")).intact


async def test_an_unknown_organization_is_not_reported_as_intact(
    intruder: Intruder,
) -> None:
    with pytest.raises(UnknownOrganization):
        await verify_chains(intruder.connection, "no-such-one")


async def test_a_reason_can_be_erased_but_not_altered(
    history: Organization, intruder: Intruder
) -> None:
    mine = f"hash IN (SELECT reason_hash FROM ledger WHERE {of(history, 'ledger')})"
    before = await intruder.verify(history)
    assert (before.intact, before.reasons, before.reasons_erased) == (True, 1, 0)
    await intruder.do(f"UPDATE reasons SET text = 'another' WHERE {mine}")
    assert await intruder.chain_findings(history) == ["ledger 1 reason_altered"]
    await intruder.do(f"DELETE FROM reasons WHERE {mine}")
    after = await intruder.verify(history)
    assert (after.intact, after.reasons, after.reasons_erased) == (True, 1, 1)


async def test_a_long_chain_is_never_in_memory_at_once(
    history: Organization, intruder: Intruder
) -> None:
    before, more = await intruder.verify(history), 2 * PAGE_SIZE
    await intruder.do(
        "SET LOCAL session_replication_role = origin",
        "INSERT INTO events (chain, kind, actor, channel, request_id, details)"
        f" SELECT '{history.id}', 'signed_in', 'user:x', 'api', 'r', '{{}}'"
        f" FROM generate_series(1, {more})",
    )
    counted: list[int] = []
    found = await verify_chains(intruder.connection, history.id, progress=counted.append)
    assert (found.intact, found.entries) == (True, before.entries + more)
    assert max(counted) == PAGE_SIZE
