"""Findings, and the results of reconciliations."""

import shlex
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from teamaccess.common.errors import Conflict
from teamaccess.storage.base import Base, OrganizationId, known_only, times_in_calendar


class AlreadyResolved(Conflict):
    """The finding was resolved before."""

    message = "The finding {finding} was already resolved by {by} at {at}."


class EndsByItself(Conflict):
    """A finding of this kind cannot be resolved by hand. It closes when its cause is gone."""

    message = (
        "The finding {finding} ({kind}) closes when its cause is gone. Run `teamaccess "
        "reconcile --organization {argument}` to see the cause and how to repair it."
    )


class FindingKind(StrEnum):
    """The kinds of findings."""

    DRIFT = "drift"
    """An organization's rows and SpiceDB differ."""
    FOREIGN_WRITE = "foreign_write"
    """SpiceDB reported a write that no ledger entry and no run explains."""
    FOREIGN_SCHEMA = "foreign_schema"
    """SpiceDB received a schema that `schema apply` did not record. This stops changes."""
    UNWATCHED = "unwatched"
    """SpiceDB could not report its writes since the watcher's cursor. Nobody saw those writes."""
    OTHER_HISTORY = "other_history"
    """SpiceDB and the ledger have different histories, because one of them was replaced or restored."""

    @property
    def is_state(self) -> bool:
        """Whether the finding is a state that may end and return, not a single occurrence."""
        return self not in (
            FindingKind.FOREIGN_WRITE,
            FindingKind.FOREIGN_SCHEMA,
            FindingKind.UNWATCHED,
        )


class Finding(Base):
    """A finding. If the same problem is found again, it is the same finding.

    A state is open until it has ended. A single occurrence cannot be undone by repairing its
    consequences, so it is open until an operator has resolved it.
    """

    __tablename__ = "findings"
    __table_args__ = (
        known_only("kind", FindingKind),
        times_in_calendar("found_at", "resolved_at"),
        CheckConstraint(
            "(resolved_by IS NOT NULL) = (kind IN ('foreign_write', 'foreign_schema', 'unwatched')"
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
    """The organization of the finding. It may exist only in SpiceDB."""
    fingerprint: Mapped[bytes] = mapped_column(unique=True)
    details: Mapped[dict[str, Any]]
    found_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    resolved_at: Mapped[datetime | None]
    resolved_by: Mapped[str | None]
    """The operator who resolved it. None for a state, which ends by itself."""

    def resolve(self, by: str, at: datetime) -> None:
        """Resolve the finding. Raises AlreadyResolved, and EndsByItself for a state."""
        if FindingKind(self.kind).is_state:
            organization = self.organization_id
            raise EndsByItself(
                finding=self.id,
                kind=self.kind,
                organization=organization,
                argument=shlex.quote(organization),
            )
        if self.resolved_at is not None:
            raise AlreadyResolved(finding=self.id, by=self.resolved_by, at=self.resolved_at)
        self.resolved_by, self.resolved_at = by, at


class Reconciliation(Base):
    """The last reconciliation of an organization, with the number of differences that it found."""

    __tablename__ = "reconciliations"
    __table_args__ = (times_in_calendar("checked_at", "asked_at"),)

    organization_id: Mapped[OrganizationId] = mapped_column(
        ForeignKey("organizations.id"), primary_key=True
    )
    checked_at: Mapped[datetime]
    differences: Mapped[int]
    asked_at: Mapped[datetime | None]
    """When an early reconciliation was requested. A reconciliation that begins later fulfills it."""
