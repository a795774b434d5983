"""Findings, and the results of reconciliation."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from teamaccess.common.errors import Conflict
from teamaccess.storage.base import Base, OrganizationId


class AlreadyResolved(Conflict):
    """The finding was resolved before."""

    message = "The finding {finding} was already resolved by {by} at {at}."


class EndsByItself(Conflict):
    """A finding of this kind cannot be resolved by hand. It closes when its cause is gone."""

    message = (
        "The finding {finding} ({kind}) closes when its cause is gone. Run `teamaccess "
        "reconcile --organization {organization}` to see the cause and how to repair it."
    )


class FindingKind(StrEnum):
    """How it came to light."""

    DRIFT = "drift"
    """Comparing an organization's rows with SpiceDB found differences."""
    FOREIGN_WRITE = "foreign_write"
    """SpiceDB told of a write that is no position of a ledger: somebody goes round us."""
    FOREIGN_SCHEMA = "foreign_schema"
    """SpiceDB was given a schema that `schema apply` did not record. It stops changes."""
    OTHER_HISTORY = "other_history"
    """SpiceDB is not where the ledger says it is: it was replaced or restored, or the ledger was."""

    @property
    def lasts(self) -> bool:
        """Whether it tells of a state, which may end and come back, and not of what happened once."""
        return self not in (FindingKind.FOREIGN_WRITE, FindingKind.FOREIGN_SCHEMA)


class Finding(Base):
    """One finding; the same one found again is no new one.

    A state is open until it is no more. What happened cannot be undone by mending what came of it: it
    is open until an operator has looked at it.
    """

    __tablename__ = "findings"
    __table_args__ = (
        CheckConstraint(
            "(resolved_by IS NOT NULL) = (kind IN ('foreign_write', 'foreign_schema')"
            " AND resolved_at IS NOT NULL)",
            name="resolved_by",
        ),
        # every change asks whether one of these is open
        Index(
            "findings_foreign_schema_idx",
            "kind",
            postgresql_where="kind = 'foreign_schema' AND resolved_at IS NULL",
        ),
        Index("findings_open_idx", "found_at", postgresql_where="resolved_at IS NULL"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    kind: Mapped[str]
    organization_id: Mapped[str]
    """The organization it is about, perhaps one that only SpiceDB knows."""
    fingerprint: Mapped[bytes] = mapped_column(unique=True)
    details: Mapped[dict[str, Any]]
    found_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    resolved_at: Mapped[datetime | None]
    resolved_by: Mapped[str | None]
    """The operator who has looked at it; nobody where a state is no more."""

    def resolve(self, by: str, at: datetime) -> None:
        """Close it as looked at; raises AlreadyResolved, and EndsByItself for what tells of a state."""
        if FindingKind(self.kind).lasts:
            raise EndsByItself(finding=self.id, kind=self.kind, organization=self.organization_id)
        if self.resolved_at is not None:
            raise AlreadyResolved(finding=self.id, by=self.resolved_by, at=self.resolved_at)
        self.resolved_by, self.resolved_at = by, at


class Reconciliation(Base):
    """The last comparison of an organization's rows with SpiceDB, and how many differences it found."""

    __tablename__ = "reconciliations"

    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id"), primary_key=True
    )
    checked_at: Mapped[datetime]
    differences: Mapped[int]
    asked_at: Mapped[datetime | None]
    """Since when it is to be compared before others, until a comparison that began later answers it."""
