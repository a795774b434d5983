"""A change of who may do what: opened under a lock, judged on a fresh graph, committed, enforced."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any

import structlog
from sqlalchemy import Row, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.catalog import Catalog
from teamaccess.engine import Engine, EngineRefused, EngineUnavailable, at_least
from teamaccess.ledger.apply import Applier
from teamaccess.ledger.attribution import Attribution
from teamaccess.ledger.entry import Entry
from teamaccess.ledger.errors import (
    OrganizationBusy,
    OrganizationStopped,
    OutcomeUnknown,
    UnknownOrganization,
)
from teamaccess.ledger.relay import Relay
from teamaccess.ledger.session import Sessions, clock, drain
from teamaccess.models import OrganizationId, Reason, UserId
from teamaccess.relationships import organization as organization_object
from teamaccess.relationships import user as user_object

log = structlog.get_logger()

LOCK = text("SELECT * FROM ledger_lock(:organizations)")
PATIENCE_SECONDS = 2.0
LOCK_NOT_AVAILABLE = "55P03"
"""PostgreSQL's code for a lock that was not had in `lock_timeout`."""


@dataclass(frozen=True)
class Receipt:
    """How far an organization's ledger has come by a change, and the token once it is enforced."""

    organization: OrganizationId
    position: int
    zed_token: str | None

    @property
    def pending(self) -> bool:
        """Whether SpiceDB has not confirmed it yet; at position 0 there is nothing to confirm."""
        return self.zed_token is None and self.position > 0


@dataclass
class Change:
    """An open change: a session under the locks of its organizations, with nothing pending there."""

    session: AsyncSession
    attribution: Attribution
    catalog: Catalog
    now: datetime
    """Of PostgreSQL's clock, taken under the locks, never before an earlier decision."""
    _engine: Engine
    standing: list["Receipt"]
    """Where each locked organization stood when the change was opened, all of it enforced."""
    after_commit: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    """What must not happen unless the change is committed, such as sending a mail."""

    async def permitted(
        self, organization: OrganizationId, user: UserId, permissions: Iterable[str]
    ) -> frozenset[str]:
        """Return which permissions the user has in the organization, as the engine says it now."""
        return await self._engine.permitted(
            organization_object(organization),
            permissions,
            user_object(user),
            at_least(self._token(organization)),
        )

    def _token(self, organization: OrganizationId) -> str | None:
        tokens = (at.zed_token for at in self.standing if at.organization == organization)
        return next(tokens, None)

    async def decide(self) -> dict[OrganizationId, int]:
        """Bring what was changed so far into the ledger; return the last position by organization.

        The commit does that by itself; this is for who must know the positions before it.
        """
        await self.session.run_sync(drain)
        return {entry.organization: entry.position for entry in self.entries}

    @property
    def entries(self) -> list[Entry]:
        """What has been decided."""
        entries: list[Entry] = self.session.sync_session.info.get("entries", [])
        return entries

    def because(self, reason: str | None) -> bytes | None:
        """Keep the reason, and return the hash by which the ledger and the events name it."""
        if not reason:
            return None
        kept = Reason.of(reason)
        self.session.add(kept)
        self.session.sync_session.info["reason_hash"] = kept.hash
        return kept.hash


class Ledger:
    """Opens changes and brings what they decide into SpiceDB."""

    def __init__(
        self, sessions: Sessions, applier: Applier, engine: Engine, catalog: Catalog
    ) -> None:
        self.sessions = sessions
        self.relay = Relay(applier)
        self._applier = applier
        self._engine = engine
        self._catalog = catalog

    @asynccontextmanager
    async def change(
        self, attribution: Attribution, *organizations: OrganizationId
    ) -> AsyncIterator[Change]:
        """Lock the organizations, bring what is pending there into SpiceDB, and open a change.

        Leaving without `commit` rolls everything back. Raises UnknownOrganization, OrganizationBusy
        (what is pending could not be brought in within two seconds) and OrganizationStopped.
        """
        async with self.sessions() as session:
            session.sync_session.info["attribution"] = attribution
            now, standing = await self._lock(session, organizations)
            yield Change(session, attribution, self._catalog, now, self._engine, standing)

    async def commit(self, change: Change) -> list[Receipt]:
        """Commit, then enforce; whatever fails after the commit is not the change's failure.

        Raises OutcomeUnknown where PostgreSQL did not say whether it committed.
        """
        await self._commit(change)
        by_organization = attrgetter("organization")
        decided = groupby(sorted(change.entries, key=by_organization), by_organization)
        locked = {at.organization for at in change.standing}
        receipts = await asyncio.gather(
            *(
                self._enforce(organization, list(entries), locked=organization in locked)
                for organization, entries in decided
            )
        )
        for then in change.after_commit:
            await _whatever_comes(then)
        changed = {receipt.organization for receipt in receipts}
        return [*receipts, *(at for at in change.standing if at.organization not in changed)]

    async def _commit(self, change: Change) -> None:
        """Commit; what may have been committed although PostgreSQL did not say so is looked after."""
        try:
            await change.session.commit()
        except BaseException as cause:
            locked = [at.organization for at in change.standing]
            for organization in {*locked, *(entry.organization for entry in change.entries)}:
                self.relay.hand_over(organization)
            if isinstance(cause, DBAPIError | OSError) and not isinstance(cause, IntegrityError):
                raise OutcomeUnknown from cause
            raise

    async def _lock(
        self, session: AsyncSession, organizations: tuple[OrganizationId, ...]
    ) -> tuple[datetime, list[Receipt]]:
        if not organizations:
            return await clock(session), []
        since = time.monotonic()
        try:
            found = (await session.execute(LOCK, {"organizations": list(organizations)})).all()
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) == LOCK_NOT_AVAILABLE:
                raise OrganizationBusy(organization=", ".join(organizations)) from error
            raise
        for wanted in organizations:
            if wanted not in [row.organization_id for row in found]:
                raise UnknownOrganization(organization=wanted)
        standing = [await self._stand(row, since) for row in found]
        return max(row.now for row in found), standing

    async def _stand(self, row: Row[Any], since: float) -> Receipt:
        organization = OrganizationId(row.organization_id)
        if row.refusal is not None:
            raise OrganizationStopped(organization=organization, refusal=row.refusal)
        token = row.zed_token
        if row.applied < row.head:
            token = await self._catch_up(organization, row.hash, since)
        return Receipt(organization, row.head, token)

    async def _catch_up(
        self, organization: OrganizationId, head: bytes, since: float
    ) -> str | None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await self._applier.catch_up(organization, head, since)
        except (EngineUnavailable, TimeoutError) as cause:
            raise OrganizationBusy(organization=organization) from cause
        except EngineRefused as refused:
            raise OrganizationStopped(organization=organization, refusal=refused) from refused

    async def _enforce(
        self, organization: OrganizationId, entries: list[Entry], *, locked: bool
    ) -> Receipt:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                # where nobody has looked what is pending, these entries may not be the next ones
                token = await (
                    self._applier.apply(entries) if locked else self._applier.catch_up(organization)
                )
        except Exception as cause:
            log.warning("change_pending", organization=organization, cause=repr(cause))
            self.relay.hand_over(organization)
            token = None
        return Receipt(organization, entries[-1].position, token)


async def _whatever_comes(then: Callable[[], Awaitable[None]]) -> None:
    """Run what follows a commit: its failure is not the failure of what is committed."""
    try:
        await then()
    except Exception:
        log.exception("after_commit_failed")
