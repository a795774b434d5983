"""Runs that write to SpiceDB, schemas that it was given, and what was watched so far."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, Identity, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from teamaccess.storage.base import Base, OrganizationId


class RunKind(StrEnum):
    """What a run writes."""

    REBUILD = "rebuild"
    """Deletes all that SpiceDB holds of an organization, and brings back what its rows stand for."""
    CLOSE = "close"
    """Deletes the relationships that let people into an organization."""
    PURGE = "purge"
    """Deletes everything of a tenant that no ledger knows."""
    AHEAD = "ahead"
    """Deletes what a position takes away, before its turn."""
    RENEWAL = "renewal"
    """Writes the marker of a position again, whose 30 days are over."""


class RunPhase(StrEnum):
    """How far a rebuild has come in SpiceDB's own order of writes."""

    EMPTYING = "emptying"
    FILLING = "filling"


class EngineRun(Base):
    """One run: committed before its first write to SpiceDB, and judged by until its last one was seen.

    The watcher believes this row, and nothing that a write says of itself.
    """

    __tablename__ = "engine_runs"
    __table_args__ = (
        Index("engine_runs_open_idx", "organization_id", postgresql_where="settled_at IS NULL"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    kind: Mapped[str]
    organization_id: Mapped[str]
    """The organization, or the name of a tenant that only SpiceDB knows."""
    position: Mapped[int] = mapped_column(BigInteger)
    """The position of the ledger whose state or updates are written; 0 where there is none."""
    request_id: Mapped[str]
    transaction: Mapped[str | None]
    """PostgreSQL's transaction during which it writes; a run without one ends with its position."""
    phase: Mapped[str] = mapped_column(server_default=RunPhase.EMPTYING)
    begun_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    ends_at: Mapped[datetime] = mapped_column(
        server_default=text("(clock_timestamp() + '1 day'::interval)")
    )
    """When it is over at the latest."""
    over_at: Mapped[datetime | None]
    """When it was seen to be over; what it wrote may still be on its way to the watcher."""
    settled_at: Mapped[datetime | None]
    """When everything that it wrote had been seen: from now on it explains nothing."""


class SchemaVersion(Base):
    """A schema that SpiceDB was given, in force until the next one; a row is never changed."""

    __tablename__ = "schema_versions"

    applied_at: Mapped[datetime] = mapped_column(
        primary_key=True, server_default=func.clock_timestamp()
    )
    catalog_version: Mapped[str]
    catalog: Mapped[dict[str, Any]] = mapped_column(JSON)
    """What the catalog means. The schema follows its order, which jsonb would forget."""
    schema: Mapped[str]
    zed_token: Mapped[str | None]
    """When SpiceDB took it, as Watch tells it; None where SpiceDB had it already."""
    applied_by: Mapped[str]
    """Who gave it, as the ledger names them."""


class WatchCursor(Base):
    """The ZedToken up to which every write of SpiceDB has been looked at; one row or none."""

    __tablename__ = "watch_cursor"
    __table_args__ = (CheckConstraint("id = 1", name="single"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, server_default="1")
    zed_token: Mapped[str]


class WatchedLedger(Base):
    """The newest position of an organization that Watch has told of; each one arrives once."""

    __tablename__ = "watched_ledgers"

    organization_id: Mapped[OrganizationId] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger)
