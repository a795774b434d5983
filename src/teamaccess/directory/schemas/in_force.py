"""The schema that SpiceDB enforced at a time."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.catalog import Catalog
from teamaccess.storage import SchemaVersion


class AppliedSchema(NamedTuple):
    """A schema that was applied to SpiceDB, and the catalog that it was compiled from."""

    catalog: Catalog
    schema: str
    applied_at: datetime


async def schema_in_force(session: AsyncSession, at: datetime) -> AppliedSchema | None:
    """Return the schema in force at a time, or None if none was recorded by then."""
    newest = (
        select(SchemaVersion)
        .where(SchemaVersion.applied_at <= at)
        .order_by(SchemaVersion.applied_at.desc())
        .limit(1)
    )
    found = (await session.scalars(newest)).one_or_none()
    if found is None:
        return None
    return AppliedSchema(Catalog.from_meaning(found.catalog), found.schema, found.applied_at)
