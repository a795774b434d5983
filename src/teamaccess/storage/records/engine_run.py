"""Runs that write to SpiceDB, the schemas that it received, and the progress of Watch."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from teamaccess.storage.base import Base, OrganizationId, known_only, times_in_calendar


class RunKind(StrEnum):
    """The kinds of runs."""

    REBUILD = "rebuild"
    """Empties an organization in SpiceDB and fills it from its rows."""
    CLOSE = "close"
    """Deletes the membership gates of an organization."""
    PURGE = "purge"
    """Deletes everything of a tenant without a ledger."""
    AHEAD = "ahead"
    """Applies the revocations of a position before its turn."""
    RENEWAL = "renewal"
    """Writes the marker of a position again after its 30 days."""
    SKIP = "skip"
    """Writes the marker of a position without its updates, because an operator skips it."""
    REDELIVERY = "redelivery"
    """Writes the updates of a position whose marker exists without them."""


class RunPhase(StrEnum):
    """The phase of a rebuild, in SpiceDB's order of writes."""

    EMPTYING = "emptying"
    FILLING = "filling"


class EngineRun(Base):
    """A run that writes to SpiceDB. It is committed before its first write, and explains its writes.

    The watcher trusts this row, and never the metadata of a write.
    """

    __tablename__ = "engine_runs"
    __table_args__ = (
        known_only("kind", RunKind),
        known_only("phase", RunPhase),
        times_in_calendar("begun_at", "ends_at", "over_at", "settled_at"),
        Index("engine_runs_open_idx", "organization_id", postgresql_where="settled_at IS NULL"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    kind: Mapped[str]
    organization_id: Mapped[str]
    """The organization, or the name of a tenant that exists only in SpiceDB."""
    position: Mapped[int] = mapped_column(BigInteger)
    """The ledger position whose state or updates are written, 0 if there is none."""
    request_id: Mapped[str]
    transaction: Mapped[str | None]
    """PostgreSQL's transaction during which the run writes. A run without one ends with its position."""
    phase: Mapped[str] = mapped_column(server_default=RunPhase.EMPTYING)
    begun_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    ends_at: Mapped[datetime] = mapped_column(
        server_default=text("(clock_timestamp() + '1 day'::interval)")
    )
    """When the run ends at the latest."""
    over_at: Mapped[datetime | None]
    """When the run was found to have ended. The watcher may not have seen all of its writes yet."""
    settled_at: Mapped[datetime | None]
    """When the watcher had seen all of its writes. After that, the run explains no write."""


class SchemaVersion(Base):
    """A schema that SpiceDB received, in force until the next one. A row is never changed."""

    __tablename__ = "schema_versions"
    __table_args__ = (times_in_calendar("applied_at"),)

    applied_at: Mapped[datetime] = mapped_column(
        primary_key=True, server_default=func.clock_timestamp()
    )
    catalog_version: Mapped[str]
    catalog: Mapped[dict[str, Any]] = mapped_column(JSON)
    """The catalog as JSON. It is not jsonb, because the schema follows the order of its keys."""
    schema: Mapped[str]
    zed_token: Mapped[str | None]
    """The ZedToken of the schema's write, as Watch reports it. None if SpiceDB had the schema already."""
    applied_by: Mapped[str]
    """The actor who applied it, in the ledger's form."""


class WatchCursor(Base):
    """The ZedToken up to which the watcher has checked SpiceDB's writes. There is at most one row."""

    __tablename__ = "watch_cursor"
    __table_args__ = (CheckConstraint("id = 1", name="single"), times_in_calendar("saved_at"))

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, server_default="1")
    zed_token: Mapped[str]
    saved_at: Mapped[datetime | None] = mapped_column(server_default=func.clock_timestamp())
    """When the cursor was last saved. Every write before it has been checked."""


class WatchedWrite(Base):
    """A write that the watcher checked lately, because SpiceDB may report it again.

    After a write, SpiceDB continues from what that write's transaction saw. It reports again what that
    transaction did not see: writes that ran at the same time.
    """

    __tablename__ = "watched_writes"
    __table_args__ = (times_in_calendar("checked_at"),)

    zed_token: Mapped[str] = mapped_column(primary_key=True)
    checked_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class WatchedLedger(Base):
    """The newest position of an organization that Watch has reported. Each position arrives once.

    PostgreSQL never lets it go back, and never past the newest position of the ledger.
    """

    __tablename__ = "watched_ledgers"

    organization_id: Mapped[OrganizationId] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger)
