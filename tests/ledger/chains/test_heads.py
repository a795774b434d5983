"""A chain alone cannot reveal a truncation or a rewrite with matching hashes. Kept heads do."""

import pytest

from teamaccess.ledger.chains.chain import ChainKind
from teamaccess.ledger.chains.heads import InvalidHeads, KeptHead, heads, read_kept_heads
from teamaccess.ledger.chains.read_chains import snapshot
from teamaccess.ledger.chains.verify import NothingKept, verify_chains
from tests.support.database_connections import create_history
from tests.support.deployment import Deployment
from tests.support.intruder import CHAIN_COLUMNS, EMPTY_ORGANIZATION, HEADS, Intruder, of
from tests.support.organization import Organization

HEAD = (
    '{"kind":"ledger","chain":"acme","position":1,"hash":"' + "0" * 64 + '","at":null,'
    '"exported_at":"2026-11-22T12:00:00Z"}'
)


async def test_every_kept_head_is_found_again(isolated: Deployment) -> None:
    history = await create_history(isolated)
    async with snapshot(isolated.settings.sqlalchemy_url) as connection:
        kept = [head async for head in heads(connection)]
        found = await verify_chains(connection, kept=kept)
    assert [each for each in found.findings if each.fault.startswith("kept_")] == []
    assert found.kept_heads == found.chains == len(kept)
    chains = {(head.kind, head.chain) for head in kept}
    assert chains >= {(kind, history.id) for kind in ChainKind}


async def test_a_head_that_was_kept_earlier_is_an_entry_of_the_longer_chain(
    acme: Organization,
) -> None:
    async with snapshot(acme.deployment.settings.sqlalchemy_url) as connection:
        kept = [head async for head in heads(connection, acme.id)]
    await acme.member("bob", roles=["support"])
    async with snapshot(acme.deployment.settings.sqlalchemy_url) as connection:
        kept += [head async for head in heads(connection, acme.id)]
        found = await verify_chains(connection, acme.id, kept)
    assert (found.intact, found.kept_heads) == (True, 4)
    assert kept[0].position < kept[2].position


@pytest.mark.parametrize("table", CHAIN_COLUMNS)
async def test_entries_truncated_with_their_head_are_missing(
    history: Organization, intruder: Intruder, table: str
) -> None:
    kept, last = await intruder.kept(history), await intruder.last(history, table)
    await intruder.do(f"DELETE FROM {table} WHERE {of(history, table, last)}")
    if table == "ledger":
        await intruder.do(f"DELETE FROM ledger_applications WHERE {of(history, table, last)}")
    await intruder.end_at(history, table, last - 1)
    assert await intruder.chain_findings(history) == []
    assert await intruder.chain_findings(history, kept) == [f"{table} {last} kept_head_missing"]


@pytest.mark.parametrize("table", CHAIN_COLUMNS)
async def test_a_rewritten_entry_differs_from_the_kept_head(
    history: Organization, intruder: Intruder, table: str
) -> None:
    kept, last = await intruder.kept(history), await intruder.last(history, table)
    await intruder.do(f"UPDATE {table} SET actor = 'user:nobody' WHERE {of(history, table, 3)}")
    await intruder.rehash_from(history, table, 3)
    assert await intruder.chain_findings(history) == []
    assert await intruder.chain_findings(history, kept) == [f"{table} {last} kept_head_differs"]


async def test_an_organization_that_vanished_is_detected(
    history: Organization, intruder: Intruder
) -> None:
    kept = await intruder.kept(history)
    for table, name in CHAIN_COLUMNS.items():
        for each in (table, HEADS[table]):
            await intruder.do(f"DELETE FROM {each} WHERE {name} = '{history.id}'")
    await intruder.do(
        f"DELETE FROM ledger_applications WHERE organization_id = '{history.id}'",
        f"DELETE FROM organizations WHERE id = '{history.id}'",
    )
    assert await intruder.chain_findings(history, kept) == [
        f"{head.kind} {head.position} chain_missing" for head in kept
    ]


async def test_an_organization_without_any_entry_is_detected_too(intruder: Intruder) -> None:
    await intruder.do(
        "SET LOCAL session_replication_role = origin",
        *EMPTY_ORGANIZATION,
    )
    kept = [head async for head in heads(intruder.connection, "empty-one")]
    assert (await verify_chains(intruder.connection, "empty-one", kept)).intact
    await intruder.do(
        "DELETE FROM ledger_heads WHERE organization_id = 'empty-one'",
        "DELETE FROM organizations WHERE id = 'empty-one'",
        "DELETE FROM attested_rows WHERE chain = 'empty-one'",
        "DELETE FROM event_heads WHERE chain = 'empty-one'",
        "SET LOCAL session_replication_role = replica",
        "DELETE FROM events WHERE chain = 'empty-one'",
    )
    findings = (await verify_chains(intruder.connection, "empty-one", kept)).findings
    assert [finding.fault for finding in findings] == ["chain_missing"] * 2


async def test_an_empty_list_of_heads_proves_nothing(
    history: Organization, intruder: Intruder
) -> None:
    with pytest.raises(NothingKept, match="has no chain head of any chain"):
        await verify_chains(intruder.connection, kept=[])
    others = list(read_kept_heads([HEAD.encode()], "a file"))
    with pytest.raises(NothingKept, match=f"has no chain head of {history.id}"):
        await intruder.verify(history, others)


def test_a_file_of_heads_is_read_line_by_line() -> None:
    [first, second] = read_kept_heads([f"{HEAD}\n".encode(), HEAD.encode()], "a file")
    assert isinstance(first, KeptHead)
    assert first == second
    assert (first.kind, first.chain, first.position) == (ChainKind.LEDGER, "acme", 1)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{}",
        "acme 1",
        HEAD.replace('"ledger"', '"notes"'),
        HEAD.replace("acme", "a\\u0000me"),
        HEAD.replace(":1,", ":-1,"),
        HEAD.replace(":1,", ":1e30,"),
        HEAD.replace("000", "xyz", 1),
        HEAD.replace('"hash":"0', '"hash":"'),
        HEAD.replace("}", ',"more":' + "[" * 100_000 + "]" * 100_000 + "}"),
    ],
)
def test_a_malformed_head_is_reported_with_its_line(line: str) -> None:
    with pytest.raises(InvalidHeads, match=r"a file, line 2: this is not a chain head"):
        list(read_kept_heads([HEAD.encode(), line.encode()], "a file"))


def test_a_head_with_a_key_twice_is_refused() -> None:
    line = HEAD.replace("}", ',"position":2}')
    with pytest.raises(InvalidHeads, match=r"line 1: .* the key 'position' 2 times in one object"):
        list(read_kept_heads([line.encode()], "a file"))
