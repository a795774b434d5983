"""The hashes of the chains, computed from the documentation and the columns without the product's
code.
"""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from tests.support.database_connections import Connection

LEDGER = "SELECT * FROM ledger WHERE organization_id = $1 ORDER BY position"
EVENTS = "SELECT *, details::text AS details_text FROM events WHERE chain = $1 ORDER BY position"


async def broken_entries(connection: Connection, organization: str) -> list[int]:
    """The positions of a ledger at which its chain does not hold."""
    rows = await connection.fetch(LEDGER, organization)
    hashed = [
        _hash(
            "ledger/1",
            row["organization_id"],
            row["position"],
            row["previous_hash"],
            row["decided_at"],
            row["actor"],
            row["channel"],
            row["request_id"],
            row["catalog_version"],
            row["reason_hash"],
            *row["updates"],
        )
        for row in rows
    ]
    return list(_broken(_hash("ledger/1", organization), rows, hashed))


async def broken_events(connection: Connection, chain: str) -> list[int]:
    """The positions of a chain of events at which it does not hold."""
    rows = await connection.fetch(EVENTS, chain)
    hashed = [
        _hash(
            "events/1",
            row["chain"],
            row["position"],
            row["previous_hash"],
            row["occurred_at"],
            row["kind"],
            row["actor"],
            row["channel"],
            row["request_id"],
            row["subject"],
            row["reason_hash"],
            row["details_text"],
        )
        for row in rows
    ]
    return list(_broken(_hash("events/1", chain), rows, hashed))


def _broken(first: bytes, rows: list[Any], hashed: list[bytes]) -> Iterator[int]:
    previous, place = first, 1
    for row, hash in zip(rows, hashed, strict=True):
        if (row["position"], row["previous_hash"], row["hash"]) != (place, previous, hash):
            yield row["position"]
        previous, place = row["hash"], row["position"] + 1


def _hash(*parts: object) -> bytes:
    return hashlib.sha256("\n".join(map(_text, parts)).encode()).digest()


def _text(part: object) -> str:
    match part:
        case None:
            return ""
        case bytes():
            return part.hex()
        case datetime():
            return part.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        case _:
            return str(part)
