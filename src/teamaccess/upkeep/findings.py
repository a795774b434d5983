"""Record findings. A finding stays open until the problem is gone or an operator resolves it."""

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from sqlalchemy import func, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from teamaccess.storage import Finding, FindingKind


async def record_finding(
    connection: AsyncSession | AsyncConnection,
    kind: FindingKind,
    organization: str,
    details: dict[str, Any],
) -> bytes:
    """Record a finding unless the same one exists; return its fingerprint.

    A resolved finding about a lasting state is opened again.
    """
    fingerprint = _fingerprint(kind, organization, details)
    statement = insert(Finding).values(
        kind=kind, organization_id=organization, fingerprint=fingerprint, details=details
    )
    if kind.is_state:
        statement = statement.on_conflict_do_update(
            index_elements=[Finding.fingerprint],
            set_={"resolved_at": None},
            where=Finding.resolved_at.is_not(None),
        )
    else:
        statement = statement.on_conflict_do_nothing()
    await connection.execute(statement)
    return fingerprint


async def close_findings(
    connection: AsyncSession | AsyncConnection,
    kind: FindingKind,
    organization: str,
    *,
    but: Sequence[bytes] = (),
) -> None:
    """Resolve an organization's open findings of a kind, except those with the fingerprints `but`."""
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
    text = json.dumps([kind, organization, details], sort_keys=True)
    return sha256(text.encode()).digest()
