"""Choose the source that answers a question: the present in SpiceDB, or the past in a sandbox."""

from dataclasses import dataclass, field
from functools import partial

from teamaccess.audit.state.moment import Moment, position_at, wait_until_final
from teamaccess.audit.state.past import PastSource
from teamaccess.audit.state.present import PresentSource
from teamaccess.audit.state.queue import MOST_ORGANIZATIONS, AuditQueue
from teamaccess.audit.state.sandboxes import SandboxPool
from teamaccess.audit.state.snapshot import AuditSource
from teamaccess.catalog import Catalog
from teamaccess.common.errors import Conflict
from teamaccess.directory.organizations.find import get_organization
from teamaccess.directory.schemas.in_force import schema_in_force
from teamaccess.engine import Engine
from teamaccess.ledger import Sessions, UnknownOrganization, database_time
from teamaccess.storage import OrganizationId, is_organization_id


class SchemaNotRecorded(Conflict):
    """Changes were decided under another catalog, and the schema of that time was not recorded."""

    message = (
        "The schema in force at {at} was not recorded, and changes were decided then by the "
        "catalog {catalog}, not by today's. Ask about a later time; `teamaccess schema apply` "
        "records schemas from now on."
    )


class CatalogNotInForce(Conflict):
    """SpiceDB enforces another catalog than this deployment's. Its role names may mean something else."""

    message = (
        "SpiceDB enforces the catalog {applied}, and this process has {deployed}. If the second is "
        "newer, an operator must run `teamaccess schema apply`. Otherwise replace this process with "
        "one that has the first."
    )


@dataclass(frozen=True)
class AuditSources:
    """Returns the source for each question, and holds the connections and queues that sources share."""

    reads: Sessions
    engine: Engine
    catalog: Catalog
    sandboxes: SandboxPool
    invitee_key: bytes
    """The key with which invited addresses are hashed for SpiceDB."""
    queue: AuditQueue = field(default_factory=AuditQueue)
    """The queue of questions about the present."""
    sandbox_queue: AuditQueue = field(default_factory=AuditQueue)
    """The queue of questions that need a sandbox. They can take long, so they wait apart."""
    catalog_queue: AuditQueue = field(default_factory=AuditQueue)
    """The queue of plans whose catalog is being read, which takes up to a second of CPU time."""
    final_queue: AuditQueue = field(default_factory=partial(AuditQueue, MOST_ORGANIZATIONS))
    """The queue of questions that wait until no more entries of a past time can become visible."""

    async def of(
        self, organization: OrganizationId, moment: Moment | None = None, caller: str = ""
    ) -> AuditSource:
        """Return the organization as it is, or as it was at a moment.

        Callers take turns: `caller` is `Attribution.caller`. Raises UnknownOrganization. For the present
        it also raises CatalogNotInForce; for a moment OutOfCalendar, SchemaNotRecorded,
        and what `position_at` raises.
        """
        if not is_organization_id(organization):
            raise UnknownOrganization(organization=organization)
        if moment is None:
            await self._refuse_other_catalog(organization)
            return PresentSource(
                organization, self.reads, self.catalog, self.engine, self.queue, caller
            )
        moment = moment.in_utc()
        # SECURITY: the question may wait for a change of its organization. Meanwhile it holds neither a
        # connection nor a place among the sandboxes, and each organization has one such question.
        async with self.final_queue.turn(organization, caller):
            await wait_until_final(self.reads, organization, moment)
            async with self.reads() as session:
                ledger_position, decided_by = await position_at(session, organization, moment)
                recorded = await schema_in_force(session, moment.at)
        if recorded is not None:
            catalog, schema = recorded.catalog, recorded.schema
        elif decided_by == self.catalog.version:
            catalog, schema = self.catalog, self.catalog.schema()
        else:
            raise SchemaNotRecorded(at=moment.at.isoformat(), catalog=decided_by)
        return PastSource(
            moment,
            ledger_position,
            self.reads,
            catalog,
            schema,
            self.sandboxes,
            self.sandbox_queue,
            caller,
        )

    async def _refuse_other_catalog(self, organization: OrganizationId) -> None:
        """Raise UnknownOrganization, or CatalogNotInForce if the applied schema is another catalog's."""
        async with self.reads() as session:
            await get_organization(session, organization)
            applied = await schema_in_force(session, await database_time(session))
        if applied is not None and applied.catalog.version != self.catalog.version:
            raise CatalogNotInForce(applied=applied.catalog.version, deployed=self.catalog.version)
