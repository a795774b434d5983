"""Keep what does not fit: found once, open until it is no more or an operator has looked at it."""

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from sqlalchemy import func, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from teamaccess.storage import Finding, FindingKind


async def record(
    connection: AsyncSession | AsyncConnection,
    kind: FindingKind,
    organization: str,
    details: dict[str, Any],
) -> bytes:
    """Keep a finding, unless the same one is there; return its fingerprint.

    A state that was resolved and is found again is open again.
    """
    fingerprint = _fingerprint(kind, organization, details)
    adding = insert(Finding).values(
        kind=kind, organization_id=organization, fingerprint=fingerprint, details=details
    )
    if kind.is_state:
        adding = adding.on_conflict_do_update(
            index_elements=[Finding.fingerprint],
            set_={"resolved_at": None},
            where=Finding.resolved_at.is_not(None),
        )
    else:
        adding = adding.on_conflict_do_nothing()
    await connection.execute(adding)
    return fingerprint


async def resolve(
    connection: AsyncSession | AsyncConnection,
    kind: FindingKind,
    organization: str,
    *,
    but: Sequence[bytes] = (),
) -> None:
    """Close what was found of a state that is no more, except those with these fingerprints."""
    await connection.execute(
        update(Finding)
        .where(
            Finding.kind == kind,
            Finding.organization_id == organization,
            Finding.resolved_at.is_(None),
            Finding.fingerprint.not_in(but),
        )
        .values(resolved_at=func.clock_timestamp())
    )


def _fingerprint(kind: FindingKind, organization: str, details: dict[str, Any]) -> bytes:
    told = json.dumps([kind, organization, details], sort_keys=True)
    return sha256(told.encode()).digest()
