"""Record refusals within limits, because events are never deleted and a chain must not be flooded."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

import structlog
from msgspec import structs
from sqlalchemy import ARRAY, Text, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from teamaccess.changes.events.record import EventKind
from teamaccess.changes.events.users import RefusalDetails
from teamaccess.common.sharing.throttle import Throttle
from teamaccess.ledger import Attribution, Sessions, sqlstate
from teamaccess.ledger.session import LOCK_NOT_AVAILABLE
from teamaccess.storage import Event
from teamaccess.storage.advisory_locks import AdvisoryLocks, Purpose

log = structlog.get_logger()

REFUSAL_KINDS = (EventKind.REFUSED, EventKind.SIGN_IN_REFUSED, EventKind.ACCEPTANCE_REFUSED)
"""The kinds of events that this module records and that count towards its limits."""
REPEAT_SECONDS = 60.0
AT_ONCE = 2
"""Connections that refusals use at the same time in one process."""
MOST_WAITING = 100
"""Refusals that wait for such a connection. Others are only counted."""
MOST_COUNTED = 10_000
"""Actors whose suppressed refusals one process counts."""

LOCK_PATIENCE_SECONDS = 0.1
"""How long one attempt to record a refusal waits for a chain."""
POSTPONED_AT_ONCE = 1
"""Connections that postponed refusals use at the same time in one process."""
MOST_POSTPONED = 1_000
MOST_POSTPONED_OF_CHAIN = 50
"""Refusals that a process keeps in memory until their chain is free. Others are only counted."""
POSTPONED_SECONDS = 120.0
"""How long a refusal is kept. No change holds a chain for longer."""
SHORTEST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0
CLOSING_SECONDS = 15.0
"""How long a process that ends waits for its postponed refusals. A change that another process has left
open ends in that time."""

INSERT_WITHIN_LIMITS = text("""
INSERT INTO events (chain, kind, actor, channel, request_id, subject, details)
SELECT :chain, :kind, :actor, :channel, :request_id, :subject, :details
FROM (
  SELECT count(*) AS of_all_actors, count(*) FILTER (
    WHERE split_part(actor, ' via ', -1) = split_part(:actor, ' via ', -1)) AS of_this_actor
  FROM (
    SELECT actor FROM events
    WHERE chain = :chain AND kind = ANY (:kinds)
      AND occurred_at > clock_timestamp() - interval '1 hour'
    LIMIT :most_of_all_actors
  ) AS recent
) AS refusals
WHERE of_all_actors < :most_of_all_actors AND of_this_actor < :most_of_one_actor
RETURNING position
""").bindparams(bindparam("details", type_=JSONB), bindparam("kinds", type_=ARRAY(Text)))
"""The events of the chain are counted, so the limits hold across processes and restarts."""


@dataclass(frozen=True)
class RefusalLimits:
    """How many refusals one chain records in an hour."""

    from_one_actor: int = 60
    """A service account that acts for members counts as one actor."""
    from_everybody: int = 2000


@dataclass(frozen=True)
class _Refused:
    """A refusal that is to be recorded."""

    attribution: Attribution
    refusal: RefusalDetails
    chain: str
    subject: str | None
    since: float = field(default_factory=time.monotonic)

    @property
    def chain_and_actor(self) -> tuple[str, str]:
        return (self.chain, self.attribution.actor)

    @property
    def kind(self) -> Hashable:
        """What is the same in two refusals that need one record a minute."""
        stored = self.refusal.stored()
        about = (stored.get(name) for name in ("code", "cause", "method", "route"))
        return (*self.chain_and_actor, self.refusal.kind, self.subject, *about)


class Refusals:
    """Records refusals, each kind of refusal of the same actor at most once a minute.

    SECURITY: anybody can cause any number of refusals, and events are never deleted. So the key of a
    limit contains nothing that a caller chooses freely: each chain has an hourly limit for one actor and
    one for all actors. Refusals beyond the limits are only counted, in memory. The next recorded refusal
    of the actor contains that count as `suppressed`.

    SECURITY: a change or a plan holds its organization's chain until it ends. A refusal never waits for
    it: after a tenth of a second it is postponed, and recorded when the chain is free. Meanwhile it uses
    no connection. Further refusals of that chain are postponed at once, so they delay no other chain.
    """

    def __init__(
        self, sessions: Sessions, locks: AdvisoryLocks, limits: RefusalLimits | None = None
    ) -> None:
        self._sessions = sessions
        self._locks = locks
        self._limits = limits or RefusalLimits()
        self._throttle = Throttle(REPEAT_SECONDS)
        self._suppressed: Counter[tuple[str, str]] = Counter()
        self._connections = asyncio.Semaphore(AT_ONCE)
        self._retries = asyncio.Semaphore(POSTPONED_AT_ONCE)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """One refusal of a chain is recorded at a time."""
        self._postponed: dict[str, deque[_Refused]] = {}
        self._recording: set[asyncio.Task[None]] = set()
        self._waiting = 0
        self._closing = asyncio.Event()

    async def record(
        self,
        attribution: Attribution,
        refusal: RefusalDetails,
        chain: str = Event.PLATFORM,
        subject: str | None = None,
    ) -> None:
        """Record a refusal in a transaction of its own, or only count it beyond the limits.

        Two refusals are the same kind if `code`, `cause`, `method`, `route` and the subject are equal. A
        subject is an existing object, and the others have few values, so callers choose none of them
        freely.
        """
        refused = _Refused(attribution, refusal, chain, subject)
        if self._waiting >= MOST_WAITING or not self._throttle.allows(refused.kind):
            self._suppress(refused.chain_and_actor)
            return
        self._waiting += 1
        try:
            turn = self._turns.setdefault(chain, asyncio.Lock())
            async with turn:
                if chain in self._postponed:
                    self._postpone(refused)
                    return
                async with self._connections:
                    in_time = await self._insert_in_time(refused)
                if not in_time:
                    self._postpone(refused)
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        """Record the postponed refusals, because the process ends. They are tried again at once.

        The log names those whose chain stays busy for CLOSING_SECONDS. They are lost.
        """
        self._closing.set()
        if self._recording:
            await asyncio.wait(self._recording, timeout=CLOSING_SECONDS)
        for chain, lost in self._postponed.items():
            actors = sorted({refused.attribution.actor for refused in lost})
            log.error("refusals_not_recorded", chain=chain, count=len(lost), actors=actors)
        for task in self._recording:
            task.cancel()

    def _postpone(self, refused: _Refused) -> None:
        """Record the refusal later. Its chain is busy."""
        of_chain = self._postponed.get(refused.chain, ())
        of_all = sum(map(len, self._postponed.values()))
        if len(of_chain) >= MOST_POSTPONED_OF_CHAIN or of_all >= MOST_POSTPONED:
            self._suppress(refused.chain_and_actor)
            return
        if refused.chain not in self._postponed:
            self._postponed[refused.chain] = deque()
            task = asyncio.create_task(self._record_postponed(refused.chain))
            self._recording.add(task)
            task.add_done_callback(self._recording.discard)
        self._postponed[refused.chain].append(refused)

    async def _record_postponed(self, chain: str) -> None:
        """Record the postponed refusals of a chain, in their order, as soon as the chain is free."""
        pause = SHORTEST_PAUSE_SECONDS
        try:
            while waiting := self._postponed[chain]:
                await self._pause(pause)
                if await self._retry(waiting[0]):
                    waiting.popleft()
                    pause = 0.0
                else:
                    pause = min(max(pause, SHORTEST_PAUSE_SECONDS) * 2, LONGEST_PAUSE_SECONDS)
        finally:
            for refused in self._postponed.pop(chain):  # none, unless the process ends
                self._suppress(refused.chain_and_actor)

    async def _pause(self, seconds: float) -> None:
        """Wait before the next attempt. The end of the process shortens it."""
        if self._closing.is_set():
            seconds = min(seconds, SHORTEST_PAUSE_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()
                await asyncio.sleep(SHORTEST_PAUSE_SECONDS)

    async def _retry(self, refused: _Refused) -> bool:
        """Try once more to record a postponed refusal. Return whether it is done, or was given up."""
        try:
            async with self._retries:
                if await self._insert_in_time(refused):
                    return True
        except (SQLAlchemyError, OSError) as cause:
            log.warning("refusal_postponed", chain=refused.chain, cause=repr(cause))
        if time.monotonic() - refused.since < POSTPONED_SECONDS:
            return False
        log.error("refusal_not_recorded", chain=refused.chain, actor=refused.attribution.actor)
        self._suppress(refused.chain_and_actor)
        return True

    async def _insert_in_time(self, refused: _Refused) -> bool:
        """Record the refusal or count it. Return False if another transaction holds its chain."""
        suppressed = self._suppressed.pop(refused.chain_and_actor, 0)
        recorded, in_time = False, True
        try:
            recorded = await self._insert(refused, suppressed)
        except DBAPIError as error:
            if sqlstate(error) != LOCK_NOT_AVAILABLE:
                raise
            in_time = False
        finally:
            if not recorded:
                self._suppress(refused.chain_and_actor, suppressed)
        if in_time and not recorded:
            self._suppress(refused.chain_and_actor)
        return in_time

    async def _insert(self, refused: _Refused, suppressed: int) -> bool:
        """Record the refusal within the limits. Return whether it was recorded."""
        refusal, attribution = refused.refusal, refused.attribution
        if suppressed:
            refusal = structs.replace(refusal, suppressed=suppressed)
        async with self._sessions() as session:
            await session.execute(
                self._locks.lock_within(LOCK_PATIENCE_SECONDS, Purpose.REFUSALS, refused.chain)
            )
            position = await session.scalar(
                INSERT_WITHIN_LIMITS,
                {
                    "chain": refused.chain,
                    "kind": refusal.kind.value,
                    "actor": attribution.actor,
                    "channel": attribution.channel,
                    "request_id": attribution.request_id,
                    "subject": refusal.subject.named(refused.subject),
                    "details": refusal.stored(),
                    "kinds": list(REFUSAL_KINDS),
                    "most_of_one_actor": self._limits.from_one_actor,
                    "most_of_all_actors": self._limits.from_everybody,
                },
            )
            await session.commit()
        return position is not None

    def _suppress(self, chain_and_actor: tuple[str, str], count: int = 1) -> None:
        if not count:
            return
        if chain_and_actor in self._suppressed or len(self._suppressed) < MOST_COUNTED:
            self._suppressed[chain_and_actor] += count
