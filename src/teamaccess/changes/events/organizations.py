"""Events about organizations, their ledgers, and what SpiceDB has of them."""

from typing import ClassVar

from teamaccess.changes.events.record import EventDetails, EventKind, Subject
from teamaccess.storage import FindingKind


class OrganizationCreated(EventDetails):
    """An organization was created."""

    kind: ClassVar = EventKind.ORGANIZATION_CREATED
    subject: ClassVar = Subject.ORGANIZATION


class OrganizationRenamed(EventDetails):
    """An organization was renamed. `name_hash` is the SHA-256 of the new name."""

    kind: ClassVar = EventKind.ORGANIZATION_RENAMED
    subject: ClassVar = Subject.ORGANIZATION

    name_hash: str


class OrganizationDeleted(EventDetails):
    """An organization was deleted with everything that belongs to it."""

    kind: ClassVar = EventKind.ORGANIZATION_DELETED
    subject: ClassVar = Subject.ORGANIZATION


class LedgerRetried(EventDetails):
    """An operator had the entry that stops an organization sent to SpiceDB again."""

    kind: ClassVar = EventKind.LEDGER_RETRIED
    subject: ClassVar = Subject.ORGANIZATION

    position: int


class LedgerSkipped(EventDetails):
    """An operator skipped the entry that stopped an organization."""

    kind: ClassVar = EventKind.LEDGER_SKIPPED
    subject: ClassVar = Subject.ORGANIZATION

    position: int


class FindingResolved(EventDetails):
    """An operator resolved a finding."""

    kind: ClassVar = EventKind.FINDING_RESOLVED
    subject: ClassVar = Subject.FINDING

    found: FindingKind
    organization: str


class DriftMended(EventDetails):
    """Reconciliation repaired differences between an organization's rows and SpiceDB."""

    kind: ClassVar = EventKind.DRIFT_MENDED
    subject: ClassVar = Subject.ORGANIZATION

    purged: int
    restored: int


class EngineRebuilt(EventDetails):
    """All relationships of an organization were written to SpiceDB again."""

    kind: ClassVar = EventKind.ENGINE_REBUILT
    subject: ClassVar = Subject.ORGANIZATION

    position: int


class RebuildRefused(EventDetails):
    """An organization was not rebuilt, because its rows contradict its ledger."""

    kind: ClassVar = EventKind.REBUILD_REFUSED
    subject: ClassVar = Subject.ORGANIZATION

    closed: bool
    differences: list[str]


class ForeignTenantPurged(EventDetails):
    """The relationships of a tenant without a row were deleted from SpiceDB."""

    kind: ClassVar = EventKind.FOREIGN_TENANT_PURGED
    subject: ClassVar = Subject.ORGANIZATION

    relationships: int


class SchemaApplied(EventDetails):
    """A schema was put in force. The subject names the version of its catalog."""

    kind: ClassVar = EventKind.SCHEMA_APPLIED
    subject: ClassVar = Subject.SCHEMA
