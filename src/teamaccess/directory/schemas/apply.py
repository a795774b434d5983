"""Give SpiceDB the schema of the catalog, and record it."""

from sqlalchemy import select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.catalog import Catalog
from teamaccess.changes import Change, Ledger
from teamaccess.changes.events import record
from teamaccess.changes.events.organizations import SchemaApplied
from teamaccess.common.errors import Conflict, Unavailable
from teamaccess.delivery.stopped import retry_after_schema
from teamaccess.directory.roles.ids import refuse_taken
from teamaccess.engine import Engine, EngineRefused
from teamaccess.ledger import Attribution, NotCommitted, OutcomeUnknown
from teamaccess.ledger.session import ALLOW_LONG_TRANSACTION
from teamaccess.storage import Event, Finding, FindingKind, SchemaVersion
from teamaccess.storage.advisory_locks import DeploymentLock, lock

PATIENT = text("SET LOCAL lock_timeout = '1min'")
"""SpiceDB may take half of that for a schema."""
ONE_APPLIES = lock(DeploymentLock.SCHEMA)
"""Keeps the rows in the order in which the schemas were written."""
NEWEST = (
    select(SchemaVersion.catalog_version, SchemaVersion.schema)
    .order_by(SchemaVersion.applied_at.desc())
    .limit(1)
)


class SchemaRefused(Conflict):
    """SpiceDB refuses the schema, usually because relationships exist that it has no place for."""

    message = (
        "SpiceDB refuses the schema: {cause}. Remove what `teamaccess schema plan` lists as "
        "orphans, and try again."
    )


class SchemaUnrecorded(Unavailable):
    """SpiceDB has the schema, and the database did not record it."""

    message = (
        "SpiceDB has the new schema, but the database did not confirm its record. Run `teamaccess "
        "schema apply` again: until then, changes are refused."
    )


async def apply_schema(
    ledger: Ledger, engine: Engine, catalog: Catalog, attribution: Attribution
) -> list[str]:
    """Write the catalog's schema to SpiceDB if it has another one; return how the two differed.

    The schema is recorded as in force from now on, unless the newest row says so already. That repairs an
    earlier attempt that was stopped between SpiceDB and the commit. Organizations that a missing schema
    stopped are handed over to the workers again. SpiceDB itself refuses a schema that would orphan
    relationships. Raises RoleIdsTaken, SchemaRefused and SchemaUnrecorded.
    """
    schema = catalog.schema()
    async with ledger.change(attribution) as change:
        for preparing in (ALLOW_LONG_TRANSACTION, PATIENT, ONE_APPLIES):
            await change.session.execute(preparing)
        differences, token = await engine.schema_differences(schema), None
        if differences:
            if await engine.has_schema():  # before the first schema nobody has roles
                await refuse_taken(change.session, catalog)
            try:
                token = await engine.write_schema(schema)
            except EngineRefused as refused:
                raise SchemaRefused(cause=refused.message) from refused
        try:
            retried = await retry_after_schema(change.session)
            is_new = await _newest(change.session) != (catalog.version, schema)
            if is_new:
                await _record_version(change, catalog, schema, token)
            if is_new or retried:
                await ledger.commit(change)
        except (NotCommitted, OutcomeUnknown, SQLAlchemyError, OSError) as cause:
            if token is None:
                raise
            raise SchemaUnrecorded from cause
    return differences


async def _newest(session: AsyncSession) -> tuple[str, str] | None:
    found = (await session.execute(NEWEST)).one_or_none()
    return None if found is None else (found.catalog_version, found.schema)


async def _record_version(change: Change, catalog: Catalog, schema: str, token: str | None) -> None:
    change.session.add(
        SchemaVersion(
            catalog_version=catalog.version,
            catalog=catalog.meaning(),
            schema=schema,
            zed_token=token,
            applied_by=change.attribution.actor,
        )
    )
    await record(change, SchemaApplied(), Event.PLATFORM, catalog.version)


class SchemaStillForeign(Conflict):
    """SpiceDB still enforces a schema that was not recorded, so the finding cannot be resolved."""

    message = (
        "SpiceDB enforces another schema than the recorded one ({differences}), so the finding "
        "stays open. Run `teamaccess schema apply` first."
    )


async def refuse_while_foreign(session: AsyncSession, engine: Engine, ids: set[int]) -> None:
    """Raise SchemaStillForeign if one of the findings is a foreign schema and SpiceDB still has one."""
    kinds = await session.scalars(select(Finding.kind).where(Finding.id.in_(ids)))
    newest = (await session.execute(NEWEST)).one_or_none()
    if FindingKind.FOREIGN_SCHEMA not in set(kinds) or newest is None:
        return
    if differences := await engine.schema_differences(newest.schema):
        raise SchemaStillForeign(differences=sorted(set(differences)))
