"""Opens changes, commits them, and brings what they decide into SpiceDB."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple, overload

import structlog
from cachetools import LRUCache
from sqlalchemy import Row, text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.catalog import Catalog
from teamaccess.changes.change import (
    Change,
    Counted,
    OrganizationChange,
    Receipt,
    Rehearsal,
)
from teamaccess.changes.change_queue import ChangeQueue
from teamaccess.changes.commit_outcome import learn_outcome
from teamaccess.common.fairness import Turn
from teamaccess.common.limits import Limits
from teamaccess.delivery import stopped
from teamaccess.delivery.applier import Applier
from teamaccess.delivery.position import LedgerPosition
from teamaccess.delivery.progress import newest_progress
from teamaccess.engine import Engine, EngineRefused, EngineUnavailable
from teamaccess.ledger.entry import Attribution, Entry
from teamaccess.ledger.errors import (
    ForeignSchemaFound,
    OrganizationBusy,
    OrganizationStopped,
    UnknownOrganization,
)
from teamaccess.ledger.session import UNHURRIED, Sessions, recording_of, refusing_busy
from teamaccess.relationships import Revocation
from teamaccess.storage import OrganizationId

log = structlog.get_logger()

LOCK = text("""
SELECT *, set_config('lock_timeout', '250ms', true),
       EXISTS (SELECT FROM findings
               WHERE kind = 'foreign_schema' AND resolved_at IS NULL) AS foreign_schema
FROM ledger_lock(:organizations)
""")
"""SECURITY: the holder of an organization's lock waits a quarter of a second at most for any other lock.
Tenants share some rows, such as a user's. A stranger who holds one must not hold up this organization."""
BEGIN = text("""
SELECT clock_timestamp() AS now, pg_current_xact_id()::text AS transaction,
       EXISTS (SELECT FROM findings
               WHERE kind = 'foreign_schema' AND resolved_at IS NULL) AS foreign_schema
""")
PATIENCE_SECONDS = 2.0
"""How long a change waits for what is pending before it."""
MOST_COUNTED = 100_000
"""Counts of things that one process remembers."""
HAND_OVER_SECONDS = 1.0
"""How long whoever waits for an answer waits for the workers to be told, too."""


class Opened(NamedTuple):
    """What PostgreSQL says when a change is opened."""

    now: datetime
    transaction: str
    standing: list[LedgerPosition]
    foreign_schema: bool
    """Whether a schema was found in SpiceDB that nobody recorded, and no operator has looked at it."""


class Ledger:
    """Opens changes and brings what they decide into SpiceDB.

    A committed change that is not in force after `budget` seconds is left to the workers.
    """

    def __init__(
        self,
        sessions: Sessions,
        applier: Applier,
        engine: Engine,
        catalog: Catalog,
        budget: float = PATIENCE_SECONDS,
        limits: Limits | None = None,
    ) -> None:
        self.sessions = sessions
        self._applier = applier
        self._engine = engine
        self._catalog = catalog
        self._budget = budget
        self._limits = limits or Limits()
        self._counted: Counted = LRUCache(MOST_COUNTED)
        self._turns = ChangeQueue()

    @property
    def limits(self) -> Limits:
        """How much one organization and one person may have and do."""
        return self._limits

    @overload
    def change(
        self,
        attribution: Attribution,
        organization: OrganizationId,
        /,
        *,
        even_if_stopped: bool = False,
        judging: bool = True,
        asker: str = "",
    ) -> AbstractAsyncContextManager[OrganizationChange]: ...

    @overload
    def change(
        self,
        attribution: Attribution,
        /,
        *organizations: OrganizationId,
        even_if_stopped: bool = False,
        judging: bool = True,
        asker: str = "",
    ) -> AbstractAsyncContextManager[Change]: ...

    def change(
        self,
        attribution: Attribution,
        /,
        *organizations: OrganizationId,
        even_if_stopped: bool = False,
        judging: bool = True,
        asker: str = "",
    ) -> AbstractAsyncContextManager[Change]:
        """Lock the organizations, bring what is pending there into SpiceDB, and open a change.

        The change of one organization is an OrganizationChange. Leaving the block without `commit` rolls
        everything back. Raises TooManyWaiting, UnknownOrganization, OrganizationBusy (too many changes
        came before, or what is pending could not be brought in within two seconds), OrganizationStopped
        and ForeignSchemaFound; the last two not with `even_if_stopped`, which only changes that take away
        use. A change that is not `judging` asks SpiceDB nothing, so nothing has to be brought in first.
        """
        return self._change(attribution, organizations, even_if_stopped, judging, asker)

    @asynccontextmanager
    async def _change(
        self,
        attribution: Attribution,
        organizations: tuple[OrganizationId, ...],
        even_if_stopped: bool,
        judging: bool,
        asker: str,
    ) -> AsyncIterator[Change]:
        async with (
            self._turns.taken(organizations, attribution, asker) as turn,
            self.sessions() as session,
        ):
            recording_of(session).attribution = attribution
            opened = await self._lock(session, organizations, judging=judging)
            for each in opened.standing:
                if each.stopped is not None and not even_if_stopped:
                    raise OrganizationStopped(organization=each.organization, refusal=each.stopped)
            if opened.foreign_schema and organizations and not even_if_stopped:
                raise ForeignSchemaFound
            parts = (
                session,
                attribution,
                self._catalog,
                opened.now,
                opened.transaction,
                self._engine,
                opened.standing,
                turn,
            )
            change = (
                OrganizationChange(*parts, organization=organizations[0], actor=attribution.user)
                if len(organizations) == 1
                else Change(*parts)
            )
            change.limits, change.counted = self.limits, self._counted
            change.foreign_schema = opened.foreign_schema
            yield change

    @asynccontextmanager
    async def hold(
        self, attribution: Attribution, *organizations: OrganizationId
    ) -> AsyncIterator[Change]:
        """Lock the organizations as they stand: also ended ones, with whatever is pending or refused.

        For who compares ledgers and SpiceDB themselves, and takes the time that this takes: nobody's
        permission can be judged on what may not have arrived. It stands in no queue of the process's,
        only before PostgreSQL's lock. Raises OrganizationBusy.
        """
        async with self.sessions() as session:
            recording_of(session).attribution = attribution
            await session.execute(UNHURRIED)
            await self._locked(session, organizations)
            begun = (await session.execute(BEGIN)).one()
            places = await newest_progress(session, organizations)
            now = max((begun.now, *(place.decided_at for place in places)))
            standing = [
                LedgerPosition(each.organization, each.position, each.hash, None) for each in places
            ]
            yield Change(
                session,
                attribution,
                self._catalog,
                now,
                begun.transaction,
                self._engine,
                standing,
                Turn(),
            )

    async def rehearse(
        self,
        attribution: Attribution,
        organization: OrganizationId,
        act: Callable[[OrganizationChange], Awaitable[object]],
        asker: str = "",
    ) -> Rehearsal:
        """Make a change, return what it would come to, and roll it back.

        SECURITY: it takes the turn of the caller who asks, with their share of the connections, whoever
        would make the change. Everything judges it that would judge the real one: the rules, the
        engine, PostgreSQL. Raises what `change` does, and whatever refuses the act.
        """
        async with self.change(attribution, organization, asker=asker) as change:
            [standing] = change.standing
            await act(change)
            await change.prove()
            await change.decide()
            decided = [update for entry in change.entries for update in entry.updates]
        return Rehearsal(standing, change.now, decided)

    async def commit(self, change: Change) -> list[Receipt]:
        """Commit, then enforce; whatever fails after the commit is not the change's failure.

        Raises OtherHistory, and OutcomeUnknown where PostgreSQL did not say whether it committed.
        """
        await change.prove()
        await self.decide(change)
        by_organization = attrgetter("organization")
        decided = groupby(sorted(change.entries, key=by_organization), by_organization)
        receipts = await asyncio.gather(
            *(
                self._enforce(change, organization, list(entries))
                for organization, entries in decided
            )
        )
        for then in change.after_commit:
            await _whatever_comes(then)
        changed = {receipt.organization for receipt in receipts}
        untouched = [at for at in change.standing if at.organization not in changed]
        return [
            *receipts,
            *(Receipt(at.organization, at.position, at.zed_token) for at in untouched),
        ]

    async def decide(self, change: Change) -> None:
        """Commit, and leave it to the caller to have it enforced."""
        if change.stopped or change.foreign_schema:
            await _refuse_giving(change)
        await change.end_due_sessions()
        try:
            await self._commit(change)
        finally:
            change.turn.give_up()  # the next one need not wait until this one is in force

    async def retry(self, change: Change, organization: OrganizationId) -> int | None:
        """Hand the entry that stops the organization to the workers once more, after the commit.

        Returns its position, None where nothing is stopped.
        """
        refused = await stopped.refused(change.session, organization)
        if refused is not None:
            await stopped.retry_entry(change.session, organization)
        return refused.position if refused else None

    async def skip(self, change: Change, organization: OrganizationId) -> int | None:
        """Mark the entry that stops the organization in SpiceDB as arrived, without what it says.

        What waits behind it goes to the workers after the commit. Returns its position, None where
        nothing is stopped.
        """
        refused = await stopped.refused(change.session, organization)
        if refused is not None:
            token = await self._applier.skip(refused)
            await stopped.skip_entry(change.session, refused, token)
        return refused.position if refused else None

    async def _commit(self, change: Change) -> None:
        """Commit; where PostgreSQL does not say what came of it, ask until it does."""
        try:
            await change.session.commit()
        except (DBAPIError, OSError) as cause:
            if isinstance(cause, IntegrityError | ProgrammingError | DataError):
                raise  # PostgreSQL refuses it, and is there
            recording = recording_of(change.session)
            decided = recording.committing
            with suppress(DBAPIError, OSError):
                await change.session.invalidate()  # what is not committed by now never will be
            await learn_outcome(self.sessions, change, decided, cause)
            recording.entries = decided
        except asyncio.CancelledError:
            await self._leave(change)  # nobody waits any more; it may have been committed
            raise

    async def _leave(self, change: Change) -> None:
        for organization in {entry.organization for entry in change.entries}:
            await self._hand_over(organization)

    async def _hand_over(self, organization: OrganizationId) -> None:
        with suppress(Exception):  # the workers find it all the same, a little later
            async with asyncio.timeout(HAND_OVER_SECONDS):
                await self._applier.hand_over(organization)

    async def _lock(
        self, session: AsyncSession, organizations: tuple[OrganizationId, ...], *, judging: bool
    ) -> Opened:
        if not organizations:
            begun = (await session.execute(BEGIN)).one()
            return Opened(begun.now, begun.transaction, [], begun.foreign_schema)
        since = time.monotonic()
        found = await self._locked(session, organizations)
        for wanted in organizations:
            if wanted not in [row.organization_id for row in found]:
                raise UnknownOrganization(organization=wanted)
        standing = [await self._stand(row, since, judging=judging) for row in found]
        now = max(row.now for row in found)
        return Opened(now, found[0].transaction, standing, found[0].foreign_schema)

    async def _locked(
        self, session: AsyncSession, organizations: tuple[OrganizationId, ...]
    ) -> Sequence[Row[Any]]:
        with refusing_busy(*organizations):
            return (await session.execute(LOCK, {"organizations": list(organizations)})).all()

    async def _stand(self, row: Row[Any], since: float, *, judging: bool) -> LedgerPosition:
        organization = OrganizationId(row.organization_id)
        token, refusal = row.zed_token, row.refusal
        if judging and refusal is None and row.applied < row.head:
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    token = await self._applier.catch_up(organization, row.hash, since)
            except (EngineUnavailable, TimeoutError) as cause:
                raise OrganizationBusy(organization=organization) from cause
            except EngineRefused as refused:
                refusal = str(refused)
        if refusal is not None:
            token = None  # what is asked is answered as the engine says it at this moment
        proof = self._catalog.schema_proof
        return LedgerPosition(organization, row.head, row.hash, token, stopped=refusal, proof=proof)

    async def _enforce(
        self, change: Change, organization: OrganizationId, entries: list[Entry]
    ) -> Receipt:
        token: str | None = None
        try:
            async with asyncio.timeout(self._budget):
                if organization in change.stopped:
                    token = await self._applier.revoke_ahead(entries)
                elif organization in [at.organization for at in change.standing]:
                    token = await self._applier.apply(entries)
                else:
                    # nobody has looked what is pending there: these may not be the next ones
                    token = await self._applier.catch_up(organization)
        except Exception as cause:
            log.warning("change_pending", organization=organization, cause=repr(cause))
            await self._hand_over(organization)
        return Receipt(organization, entries[-1].position, token)


async def _refuse_giving(change: Change) -> None:
    """Refuse what gives something where only taking away is possible.

    Raises OrganizationStopped and ForeignSchemaFound.
    """
    await change.decide()
    for entry in change.entries:
        if all(isinstance(update, Revocation) for update in entry.updates):
            continue
        if change.foreign_schema:
            raise ForeignSchemaFound
        if refusal := change.stopped.get(entry.organization):
            raise OrganizationStopped(organization=entry.organization, refusal=refusal)


async def _whatever_comes(then: Callable[[], Awaitable[None]]) -> None:
    """Run what follows a commit: its failure is not the failure of what is committed."""
    try:
        await then()
    except Exception:
        log.exception("after_commit_failed")
