"""The public definition of the chains: the hash of an entry, computed from its columns.

docs/explanation/ledger-chains.md documents it. PostgreSQL computes the same hash when an entry is
appended (`ledger_hash` and `event_hash` in migrations/versions/0001_ledger.sql). This module needs no
database.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum


class ChainKind(StrEnum):
    """The two kinds of chains. An organization has one of each."""

    LEDGER = "ledger"
    EVENTS = "events"

    @property
    def version(self) -> str:
        """The first line of every hashed text."""
        return f"{self}/1"


def genesis_hash(kind: ChainKind, chain: str) -> bytes:
    """Return the previous hash of a chain's first entry."""
    return hashlib.sha256(f"{kind.version}\n{chain}".encode()).digest()


def ledger_hash(
    organization_id: str,
    position: int,
    previous_hash: bytes,
    decided_at: datetime | None,
    actor: str,
    channel: str,
    request_id: str,
    catalog_version: str,
    reason_hash: bytes | None,
    updates: Sequence[str],
) -> bytes | None:
    """Return the hash of a ledger entry, None for columns that no entry can have."""
    return _hash(
        ChainKind.LEDGER.version,
        organization_id,
        str(position),
        previous_hash.hex(),
        _time(decided_at),
        actor,
        channel,
        request_id,
        catalog_version,
        _optional(reason_hash.hex() if reason_hash is not None else None),
        *updates,
    )


def event_hash(
    chain: str,
    position: int,
    previous_hash: bytes,
    occurred_at: datetime | None,
    kind: str,
    actor: str,
    channel: str,
    request_id: str,
    subject: str | None,
    reason_hash: bytes | None,
    details: str,
) -> bytes | None:
    """Return the hash of an event, None for columns that no event can have.

    `details` is the text of the column as PostgreSQL prints it.
    """
    return _hash(
        ChainKind.EVENTS.version,
        chain,
        str(position),
        previous_hash.hex(),
        _time(occurred_at),
        kind,
        actor,
        channel,
        request_id,
        _optional(subject),
        _optional(reason_hash.hex() if reason_hash is not None else None),
        details,
    )


def reason_hash(salt: bytes, text: str) -> bytes:
    """Return the hash by which an entry names its reason. The reason itself is outside of the chains."""
    return hashlib.sha256(salt + text.encode()).digest()


def _hash(*lines: str | None) -> bytes | None:
    """Return the SHA-256 of the lines, None if other columns could produce the same lines.

    The tables refuse such columns: those with a line break, and updates with NULL or a second dimension.
    But the owner of the tables can drop these constraints.
    """
    if not all(isinstance(line, str) and "\n" not in line for line in lines):
        return None
    return hashlib.sha256("\n".join(map(str, lines)).encode()).digest()


def _time(at: datetime | None) -> str | None:
    """Return the time as RFC 3339 in UTC with microseconds."""
    if at is None:
        return None
    return at.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def _optional(text: str | None) -> str | None:
    """Return an empty line for None, and None for an empty text, because no entry may contain one."""
    return "" if text is None else text or None
