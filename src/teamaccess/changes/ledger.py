"""Open changes, commit them, and apply their ledger entries to SpiceDB."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from contextvars import ContextVar
from copy import copy
from itertools import groupby
from operator import attrgetter
from typing import overload

import structlog
from cachetools import LRUCache
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError

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
from teamaccess.changes.opening import BEGIN, PATIENCE_SECONDS, lock_rows, open_ledgers
from teamaccess.common.configuration.limits import Limits
from teamaccess.common.postgres.outages import is_outage
from teamaccess.common.sharing.fairness import Turn
from teamaccess.delivery import stopped
from teamaccess.delivery.applier import Applier
from teamaccess.delivery.position import LedgerPosition
from teamaccess.delivery.progress import newest_progress
from teamaccess.engine import Engine
from teamaccess.ledger.entry import Attribution, Entry
from teamaccess.ledger.errors import (
    ForeignSchemaFound,
    OrganizationStopped,
)
from teamaccess.ledger.session import (
    ALLOW_LONG_TRANSACTION,
    Sessions,
    recording_of,
)
from teamaccess.relationships import Revocation
from teamaccess.storage import OrganizationId
from teamaccess.storage.advisory_locks import AdvisoryLocks

log = structlog.get_logger()

MOST_COUNTED = 100_000
"""Counts that one process remembers."""
HAND_OVER_SECONDS = 1.0
"""How long a request may additionally wait for the notification of the workers."""


_may_have_changed: ContextVar[bool] = ContextVar("may_have_changed", default=False)


def begin_request() -> None:
    """Begin a request, which has committed nothing yet."""
    _may_have_changed.set(False)


def note_commit() -> None:
    """Note that the request has committed a change, or may have."""
    _may_have_changed.set(True)


def may_have_changed() -> bool:
    """Return whether the request has made a change, or may have made one.

    The answer to an error must not say then that nothing was changed.
    """
    return _may_have_changed.get()


class Ledger:
    """Opens and commits changes, and applies their ledger entries to SpiceDB.

    A committed change that is not enforced after `budget` seconds is left to the workers.
    """

    def __init__(
        self,
        sessions: Sessions,
        applier: Applier,
        engine: Engine,
        catalog: Catalog,
        locks: AdvisoryLocks,
        budget: float = PATIENCE_SECONDS,
        limits: Limits | None = None,
    ) -> None:
        self.sessions = sessions
        self._applier = applier
        self._engine = engine
        self._catalog = catalog
        self._locks = locks
        self._budget = budget
        self._limits = limits or Limits()
        self._counted: Counted = LRUCache(MOST_COUNTED)
        self._turns = ChangeQueue()

    def under(self, catalog: Catalog) -> "Ledger":
        """Return this ledger for changes that the schema of another catalog judges.

        A plan needs it while SpiceDB still enforces the catalog that is to be replaced.
        """
        ledger = copy(self)
        ledger._catalog = catalog
        return ledger

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
        """Lock the organizations, apply their pending entries to SpiceDB, and open a change.

        The change of one organization is an OrganizationChange. Leaving the block without `commit` rolls
        everything back. A change that is not `judging` asks SpiceDB nothing, so it does not wait for
        pending entries. With `even_if_stopped`, the change may only take access away, which stays
        possible in stopped organizations and with a foreign schema.

        Raises TooManyWaiting, UnknownOrganization, OrganizationStopped, ForeignSchemaFound, and
        OrganizationBusy if the turn or the lock takes too long or pending entries are not applied within
        two seconds.
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
            opened = await open_ledgers(
                session,
                organizations,
                self._applier,
                self._catalog.schema_proof,
                judging=judging,
            )
            for at in opened.ledger_positions:
                if at.stopped is not None and not even_if_stopped:
                    raise OrganizationStopped(organization=at.organization, refusal=at.stopped)
            if opened.foreign_schema and organizations and not even_if_stopped:
                raise ForeignSchemaFound
            parts = (
                session,
                attribution,
                self._catalog,
                opened.now,
                opened.transaction,
                self._engine,
                opened.ledger_positions,
                turn,
                self._locks,
                self.limits,
                self._counted,
            )
            change = (
                OrganizationChange(*parts, organization=organizations[0], actor=attribution.user)
                if len(organizations) == 1
                else Change(*parts)
            )
            change.foreign_schema = opened.foreign_schema
            yield change

    @asynccontextmanager
    async def hold(
        self, attribution: Attribution, *organizations: OrganizationId
    ) -> AsyncIterator[Change]:
        """Lock the organizations as they are, including ended ones, with pending and refused entries.

        It is for code that compares ledgers with SpiceDB, which takes long. It must not authorize
        anything, because SpiceDB may lack entries. It waits only for PostgreSQL's lock and not in the
        queue of the process. Raises OrganizationBusy.
        """
        async with self.sessions() as session:
            recording_of(session).attribution = attribution
            await session.execute(ALLOW_LONG_TRANSACTION)
            await lock_rows(session, organizations)
            begun = (await session.execute(BEGIN)).one()
            ledgers = await newest_progress(session, organizations)
            now = max((begun.now, *(ledger.decided_at for ledger in ledgers)))
            ledger_positions = [
                LedgerPosition(ledger.organization, ledger.position, ledger.hash, None)
                for ledger in ledgers
            ]
            yield Change(
                session,
                attribution,
                self._catalog,
                now,
                begun.transaction,
                self._engine,
                ledger_positions,
                Turn(),
                self._locks,
                self.limits,
                self._counted,
            )

    async def rehearse(
        self,
        attribution: Attribution,
        organization: OrganizationId,
        act: Callable[[OrganizationChange], Awaitable[object]],
        asker: str = "",
    ) -> Rehearsal:
        """Make a change with `act`, return its updates, and roll it back.

        The same rules, engine and database authorize it as for the real change. SECURITY: it uses the
        turn of `asker`, with that caller's share of the connections, and not those of the change's actor.
        Raises the errors of `change` and those of `act`.
        """
        async with self.change(attribution, organization, asker=asker) as change:
            change.is_rehearsal = True
            [ledger_position] = change.ledger_positions
            await act(change)
            await change.prove()
            await change.decide()
            decided = [update for entry in change.entries for update in entry.updates]
        return Rehearsal(ledger_position, change.now, decided)

    async def commit(self, change: Change) -> list[Receipt]:
        """Commit, then enforce. A failure after the commit does not fail the change.

        Raises OtherHistory, and OutcomeUnknown if PostgreSQL did not tell whether it committed.
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
        for call in change.after_commit:
            await _call_after_commit(call)
        changed = {receipt.organization for receipt in receipts}
        untouched = [at for at in change.ledger_positions if at.organization not in changed]
        return [
            *receipts,
            *(Receipt(at.organization, at.position, at.zed_token) for at in untouched),
        ]

    async def decide(self, change: Change) -> None:
        """Commit without enforcing. The caller enforces the entries."""
        if change.stopped or change.foreign_schema:
            await _refuse_giving(change)
        await change.end_due_sessions()
        try:
            await self._commit(change)
        finally:
            change.turn.give_up()  # the next change need not wait until this one is enforced

    async def retry(self, change: Change, organization: OrganizationId) -> int | None:
        """Hand the refused entry of a stopped organization over to the workers again, after the commit.

        Returns its position, None if the organization has not stopped.
        """
        refused = await stopped.stopping_entry(change.session, organization)
        if refused is not None:
            await stopped.retry_entry(change.session, organization)
        return refused.position if refused else None

    async def skip(self, change: Change, organization: OrganizationId) -> int | None:
        """Skip a stopped organization's refused entry: write its marker to SpiceDB without its updates.

        The workers deliver the entries after it once this change is committed. Returns its position, None
        if the organization has not stopped.
        """
        refused = await stopped.stopping_entry(change.session, organization)
        if refused is not None:
            token = await self._applier.skip(refused)
            await stopped.skip_entry(change.session, refused, token)
        return refused.position if refused else None

    async def _commit(self, change: Change) -> None:
        """Commit. If the outcome is unknown, ask PostgreSQL until it is known."""
        try:
            await change.session.commit()
        except (DBAPIError, OSError) as cause:
            if isinstance(cause, IntegrityError | ProgrammingError | DataError):
                raise  # PostgreSQL answered, and refused the change
            note_commit()
            recording = recording_of(change.session)
            decided = recording.committing
            with suppress(DBAPIError, OSError):
                await change.session.invalidate()  # so that a late commit is impossible
            await learn_outcome(self.sessions, change, decided, cause)
            recording.entries = decided
        except asyncio.CancelledError:
            # the caller is gone, but the commit may have succeeded
            await self._leave_to_workers(change)
            raise
        else:
            note_commit()

    async def _leave_to_workers(self, change: Change) -> None:
        for organization in {entry.organization for entry in change.entries}:
            await self._hand_over(organization)

    async def _hand_over(self, organization: OrganizationId) -> None:
        with suppress(Exception):  # then the workers find the entries by polling, a little later
            async with asyncio.timeout(HAND_OVER_SECONDS):
                await self._applier.hand_over(organization)

    async def _enforce(
        self, change: Change, organization: OrganizationId, entries: list[Entry]
    ) -> Receipt:
        token: str | None = None
        try:
            async with asyncio.timeout(self._budget):
                if organization in change.stopped:
                    token = await self._applier.revoke_ahead(entries)
                elif organization in [at.organization for at in change.ledger_positions]:
                    token = await self._applier.apply(entries)
                else:
                    # the organization was not locked at the opening, so earlier entries may be pending
                    token = await self._applier.catch_up(organization)
        except Exception as cause:
            log.warning("change_pending", organization=organization, cause=repr(cause))
            await self._hand_over(organization)
        return Receipt(organization, entries[-1].position, token)


async def _refuse_giving(change: Change) -> None:
    """Refuse a change that gives access while only taking away is allowed.

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


async def _call_after_commit(call: Callable[[], Awaitable[None]]) -> None:
    """Call a function after a commit. Its failure is logged and does not fail the change."""
    try:
        await call()
    except Exception as failure:
        if is_outage(failure):
            log.warning("after_commit_failed", cause=repr(failure))
        else:
            log.exception("after_commit_failed")
