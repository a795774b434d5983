"""Keep what does not fit: found once, open until it is dealt with."""

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from teamaccess.models import Finding, FindingKind

LASTING = (FindingKind.DRIFT, FindingKind.OTHER_HISTORY)
"""Kinds that tell of a state: it may end and come back. The others tell of what happened, once."""


async def record(
    connection: AsyncSession | AsyncConnection,
    kind: FindingKind,
    organization: str | None,
    details: dict[str, Any],
) -> bytes:
    """Keep a finding, unless the same one is there; return its fingerprint.

    A state that was resolved and is found again is open again.
    """
    fingerprint = _fingerprint(kind, organization, details)
    adding = insert(Finding).values(
        kind=kind, organization_id=organization, fingerprint=fingerprint, details=details
    )
    if kind in LASTING:
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
    organization: str | None,
    *,
    but: Sequence[bytes] = (),
) -> None:
    """Close the open findings of a kind about an organization, except those with these fingerprints."""
    await connection.execute(
        update(Finding)
        .where(
            Finding.kind == kind,
            Finding.organization_id.is_not_distinct_from(organization),
            Finding.resolved_at.is_(None),
            Finding.fingerprint.not_in(but),
        )
        .values(resolved_at=func.clock_timestamp())
    )


async def open_about(
    connection: AsyncSession | AsyncConnection, kind: FindingKind
) -> list[str | None]:
    """Return the organizations about which findings of a kind are open."""
    rows = await connection.execute(
        select(Finding.organization_id)
        .where(Finding.kind == kind, Finding.resolved_at.is_(None))
        .distinct()
    )
    return [row.organization_id for row in rows]


def _fingerprint(kind: FindingKind, organization: str | None, details: dict[str, Any]) -> bytes:
    told = json.dumps([kind, organization, details], sort_keys=True)
    return sha256(told.encode()).digest()
