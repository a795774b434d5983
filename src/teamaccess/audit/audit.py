"""What an auditor's questions are asked of: an organization now, or at a past moment."""

from dataclasses import dataclass, field

from teamaccess.audit.state.moment import Moment, standing_at
from teamaccess.audit.state.past import Past
from teamaccess.audit.state.present import Present
from teamaccess.audit.state.sandboxes import Sandboxes
from teamaccess.audit.state.turns import AuditTurns
from teamaccess.audit.state.view import AuditSource
from teamaccess.catalog import Catalog
from teamaccess.common.errors import Conflict
from teamaccess.directory.schemas.in_force import in_force
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
        "SpiceDB enforces the catalog {applied}, and this deployment has {deployed}. An "
        "operator must run `teamaccess schema apply`."
    )


@dataclass(frozen=True)
class Audit:
    """The parts that answers are made of."""

    reads: Sessions
    engine: Engine
    catalog: Catalog
    sandboxes: Sandboxes
    turns: AuditTurns = field(default_factory=AuditTurns)
    """For questions about the present."""
    sandbox_turns: AuditTurns = field(default_factory=AuditTurns)
    """For those that take a sandbox, which may take long and keep no other waiting."""

    async def of(
        self, organization: OrganizationId, moment: Moment | None = None, caller: str = ""
    ) -> AuditSource:
        """Return the organization as it is, or as it was. Callers take turns (`Attribution.caller`).

        Raises UnknownOrganization; of the present CatalogNotInForce; of a moment OutOfCalendar,
        SchemaNotRecorded, and what `standing_at` does.
        """
        if not is_organization_id(organization):
            raise UnknownOrganization(organization=organization)
        if moment is None:
            await self._refuse_other_schema()
            return Present(organization, self.reads, self.catalog, self.engine, self.turns, caller)
        moment = moment.in_utc()
        # SECURITY: it may wait for a change under way, with a connection that sign-ins need
        async with (
            self.sandbox_turns.taken(organization, caller),
            self.reads() as session,
        ):
            standing, decided_by = await standing_at(session, organization, moment)
            then = await in_force(session, moment.at)
        if then is not None:
            catalog, schema = then.catalog, then.schema
        elif decided_by == self.catalog.version:
            catalog, schema = self.catalog, self.catalog.schema()
        else:
            raise SchemaNotRecorded(at=moment.at.isoformat(), catalog=decided_by)
        return Past(
            moment,
            standing,
            self.reads,
            catalog,
            schema,
            self.sandboxes,
            self.sandbox_turns,
            caller,
        )

    async def _refuse_other_schema(self) -> None:
        """Raise CatalogNotInForce where the newest schema that was kept is another catalog's."""
        async with self.reads() as session:
            found = await in_force(session, await database_time(session))
        if found is not None and found.catalog.version != self.catalog.version:
            raise CatalogNotInForce(applied=found.catalog.version, deployed=self.catalog.version)
