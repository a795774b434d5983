"""Fill a SpiceDB that is empty, restored or another one from the rows."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import case, func, or_, select, update

from teamaccess.catalog import Catalog
from teamaccess.engine import PAGE, Engine, Objects
from teamaccess.events import record
from teamaccess.ledger import (
    Attribution,
    Change,
    Ledger,
    OrganizationBusy,
    UnknownOrganization,
    findings,
)
from teamaccess.ledger.markers import LIFE, applied, head
from teamaccess.ledger.place import Place, newest_places
from teamaccess.ledger.write import rebuilding
from teamaccess.models import (
    DONE,
    ApplicationStatus,
    FindingKind,
    LedgerApplication,
    LedgerEntry,
    OrganizationId,
    RelationshipSource,
)
from teamaccess.reconciliation.histories import batches, differs, doubtful
from teamaccess.reconciliation.rows import meant
from teamaccess.reconciliation.scan import Seen
from teamaccess.reconciliation.tenants import ORGANIZATION, objects_of
from teamaccess.relationships import Relationship, Touch

GATE = "member"
"""The relation through which every permission passes: without it nothing is allowed."""
WRITE_SECONDS = 30.0


@dataclass
class Rebuilt:
    """How much was done."""

    organizations: list[OrganizationId] = field(default_factory=list)
    relationships: int = 0
    busy: list[OrganizationId] = field(default_factory=list)
    """Those that were being changed; they are left as they were."""


class Rebuilder:
    """Rebuilds organizations. Stopped at any moment, it can be run again."""

    def __init__(
        self, ledger: Ledger, engine: Engine, catalog: Catalog, attribution: Attribution
    ) -> None:
        self._ledger, self._engine, self._catalog = ledger, engine, catalog
        self._attribution = attribution
        self.done = Rebuilt()

    async def everything(self, seen: Seen) -> Rebuilt:
        """Rebuild every organization that has another history in SpiceDB."""
        async for ids in batches(self._ledger.sessions):
            await self.some(ids, seen)
        return self.done

    async def give_schema(self) -> None:
        """Write the catalog's schema where SpiceDB has none at all."""
        if not await self._engine.has_schema():
            await self._engine.write_schema(self._catalog.schema())

    async def some(self, ids: Sequence[OrganizationId], seen: Seen) -> Rebuilt:
        """Rebuild those of a batch that need it; raises UnknownOrganization where there are none."""
        async with self._ledger.sessions() as session:
            places = await newest_places(session, ids)
        if not places:
            raise UnknownOrganization(organization=", ".join(ids))
        needing = [each.organization for each in await doubtful(self._engine, places)]
        if not needing:
            return self.done
        try:
            await self._locked(needing, seen)
        except OrganizationBusy:
            for id in needing:
                try:
                    await self._locked([id], seen)
                except OrganizationBusy:
                    self.done.busy.append(id)
        return self.done

    async def _locked(self, ids: Sequence[OrganizationId], seen: Seen) -> None:
        """Rebuild those of them that need it, which nobody changes meanwhile."""
        async with self._ledger.hold(self._attribution, *ids) as change:
            places = [
                place
                for place in await newest_places(change.session, ids)
                if await differs(change.session, self._engine, place)
            ]
            if not places:
                return
            rebuilt = [place.organization for place in places]
            # The others have only not arrived yet, which is no reason to refuse the commit.
            change.standing = [at for at in change.standing if at.organization in rebuilt]
            for place in places:
                await self._empty(place)
            token = await self._fill(change, places, seen)
            await self._keep(change, places, token)
            await self._ledger.commit(change)  # which asks once more where SpiceDB stands
        self.done.organizations += rebuilt

    async def _empty(self, place: Place) -> None:
        """Delete all that SpiceDB holds of it: first what lets anybody do anything."""
        told = rebuilding([place])
        await self._engine.delete(Objects(ORGANIZATION, place.organization, relation=GATE), told)
        for objects in objects_of(place.organization, self._catalog):
            await self._engine.delete(objects, told)

    async def _fill(self, change: Change, places: Sequence[Place], seen: Seen) -> str | None:
        """Write what the rows stand for, each organization's markers last; return the last token.

        Not with ImportBulkRelationships: Watch could not tell its writes from those of a stranger.
        """
        token: str | None = None
        waiting: list[Relationship] = []

        async def send() -> None:
            nonlocal token
            token = await self._engine.write(
                [Touch(each) for each in waiting],
                metadata=rebuilding(places),
                seconds=WRITE_SECONDS,
            )
            self.done.relationships += len(waiting)
            seen(len(waiting))
            waiting.clear()

        for place in places:
            async for relationship in self._relationships(change, place):
                waiting.append(relationship)
                if len(waiting) == PAGE:
                    await send()
        if waiting:
            await send()
        return token

    async def _relationships(self, change: Change, place: Place) -> AsyncIterator[Relationship]:
        """Yield all that SpiceDB should hold of an organization, the markers last."""
        for source in RelationshipSource.tables().values():
            async for page in meant(change.session, source, place.organization):
                for relationship in page:
                    if not relationship.expired(change.now):
                        yield relationship
        if place.position > 0:
            async for marker in self._markers(change, place):
                yield marker
            yield head(place.organization, place.position, place.hash)

    async def _markers(self, change: Change, place: Place) -> AsyncIterator[Relationship]:
        """Yield the marker of each position that somebody may still try to write, and of the newest."""
        application = LedgerApplication
        rows = await change.session.stream(
            select(LedgerEntry.position, LedgerEntry.hash)
            .join(
                application,
                (application.organization_id == LedgerEntry.organization_id)
                & (application.position == LedgerEntry.position),
            )
            .where(
                LedgerEntry.organization_id == place.organization,
                or_(
                    LedgerEntry.decided_at > change.now - LIFE,
                    LedgerEntry.position == place.position,
                    application.status.not_in(DONE),
                ),
            )
            .order_by(LedgerEntry.position),
            execution_options={"yield_per": PAGE},
        )
        async for row in rows:
            yield applied(place.organization, row.position, row.hash, change.now)

    async def _keep(self, change: Change, places: Sequence[Place], token: str | None) -> None:
        """Keep that every position is there, pending and refused ones too: the rows had them all.

        The tokens of a SpiceDB that was replaced mean nothing to this one.
        """
        status = LedgerApplication.status
        skipped = ApplicationStatus.SKIPPED
        await change.session.execute(
            update(LedgerApplication)
            .where(LedgerApplication.organization_id.in_([each.organization for each in places]))
            .values(
                status=case((status == skipped, skipped), else_=ApplicationStatus.APPLIED),
                zed_token=token,
                enforced_at=func.coalesce(LedgerApplication.enforced_at, func.clock_timestamp()),
                refusal=None,
            )
        )
        for place in places:
            id = place.organization
            await record(
                change, "engine_rebuilt", id, f"organization:{id}", position=place.position
            )
            await findings.resolve(change.session, FindingKind.OTHER_HISTORY, id)
