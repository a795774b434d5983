"""Keep what no change of ours explains, until somebody has dealt with it."""

import hashlib
from typing import Any

import msgspec
from sqlalchemy import func, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.models import Finding, FindingKind


async def record(
    session: AsyncSession, kind: FindingKind, organization: str | None, details: dict[str, Any]
) -> None:
    """Keep a finding; one that is the same to the letter is no new one, and opens again."""
    said = msgspec.json.encode([kind, organization, details], order="deterministic")
    await session.execute(
        insert(Finding)
        .values(
            kind=kind,
            organization_id=organization,
            fingerprint=hashlib.sha256(said).digest(),
            details=details,
        )
        .on_conflict_do_update(index_elements=[Finding.fingerprint], set_={"resolved_at": None})
    )


async def resolve(session: AsyncSession, kind: FindingKind, organization: str) -> None:
    """Close every open finding of that kind about the organization."""
    await session.execute(
        update(Finding)
        .where(
            Finding.kind == kind,
            Finding.organization_id == organization,
            Finding.resolved_at.is_(None),
        )
        .values(resolved_at=func.clock_timestamp())
    )
