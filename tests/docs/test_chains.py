"""The example on the page about chains computes the hash it shows, and so does the product."""

import doctest
from datetime import UTC, datetime
from pathlib import Path

from teamaccess.ledger.chains.chain import ChainKind, event_hash, genesis_hash, ledger_hash

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "ledger-chains.md"
AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


def test_the_example_computes_the_hash_that_the_page_shows() -> None:
    done = doctest.testfile(str(PAGE), module_relative=False)
    assert (done.failed, done.attempted) == (0, 5)


def test_the_product_computes_the_same_hash() -> None:
    first = genesis_hash(ChainKind.LEDGER, "acme")
    updates = [
        "TOUCH organization:acme#administrator@user:usr_1",
        "TOUCH organization:acme#member@user:usr_1",
    ]
    where = ("operator:ines", "operator", "5f1c0a7be2d9")
    entry = ledger_hash("acme", 1, first, AT, *where, "fintoc-c53aeb1d4e3f", None, updates)
    began = genesis_hash(ChainKind.EVENTS, "acme")
    kind, details = "organization_created", '{"name": "Acme"}'
    event = event_hash("acme", 1, began, AT, kind, *where, None, None, details)
    page = PAGE.read_text()
    for hash in (first, entry, event):
        assert hash is not None
        assert f"'{hash.hex()}'" in page
