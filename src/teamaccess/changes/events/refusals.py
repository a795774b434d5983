"""Record refusals within limits, because events are never deleted and a chain must not be flooded."""

import asyncio
from collections import Counter
from dataclasses import dataclass

from msgspec import structs
from sqlalchemy import ARRAY, Text, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from teamaccess.changes.events.kind import EventKind
from teamaccess.changes.events.users import RefusalDetails
from teamaccess.common.throttle import Throttle
from teamaccess.ledger import Attribution, Sessions
from teamaccess.storage import Event

REFUSAL_KINDS = (EventKind.REFUSED, EventKind.SIGN_IN_REFUSED, EventKind.ACCEPTANCE_REFUSED)
"""The kinds of events that this module records and that count towards its limits."""
REPEAT_SECONDS = 60.0
AT_ONCE = 2
"""Connections that refusals use at the same time in one process."""
MOST_WAITING = 100
"""Refusals that wait for such a connection. Others are only counted."""
MOST_COUNTED = 10_000
"""Actors whose suppressed refusals one process counts."""

LOCK_REFUSALS_OF_CHAIN = text(
    "SELECT pg_advisory_xact_lock(hashtextextended('teamaccess refusals ' || :chain, 0))"
)
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


class Refusals:
    """Records refusals, each kind of refusal of the same actor at most once a minute.

    SECURITY: anybody can cause any number of refusals, and events are never deleted. So the key of a
    limit contains nothing that a caller chooses freely: each chain has an hourly limit for one actor and
    one for all actors. Refusals beyond the limits are only counted, in memory. The next recorded refusal
    of the actor contains that count as `suppressed`.
    """

    def __init__(self, sessions: Sessions, limits: RefusalLimits | None = None) -> None:
        self._sessions = sessions
        self._limits = limits or RefusalLimits()
        self._throttle = Throttle(REPEAT_SECONDS)
        self._suppressed: Counter[tuple[str, str]] = Counter()
        self._connections = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

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
        chain_and_actor = (chain, attribution.actor)
        stored = refusal.stored()
        about = (stored.get(name) for name in ("code", "cause", "method", "route"))
        same = (*chain_and_actor, refusal.kind, subject, *about)
        if self._waiting >= MOST_WAITING or not self._throttle.allows(same):
            self._suppress(chain_and_actor)
            return
        self._waiting += 1
        try:
            async with self._connections:
                recorded = await self._insert(attribution, refusal, chain, subject)
        finally:
            self._waiting -= 1
        if not recorded:
            self._suppress(chain_and_actor)

    async def _insert(
        self,
        attribution: Attribution,
        refusal: RefusalDetails,
        chain: str,
        subject: str | None,
    ) -> bool:
        """Record the refusal within the limits. Return whether it was recorded."""
        chain_and_actor = (chain, attribution.actor)
        suppressed = self._suppressed.pop(chain_and_actor, 0)
        if suppressed:
            refusal = structs.replace(refusal, suppressed=suppressed)
        async with self._sessions() as session:
            await session.execute(LOCK_REFUSALS_OF_CHAIN, {"chain": chain})
            position = await session.scalar(
                INSERT_WITHIN_LIMITS,
                {
                    "chain": chain,
                    "kind": refusal.kind.value,
                    "actor": attribution.actor,
                    "channel": attribution.channel,
                    "request_id": attribution.request_id,
                    "subject": refusal.subject.named(subject),
                    "details": refusal.stored(),
                    "kinds": list(REFUSAL_KINDS),
                    "most_of_one_actor": self._limits.from_one_actor,
                    "most_of_all_actors": self._limits.from_everybody,
                },
            )
            await session.commit()
        if position is None:
            self._suppress(chain_and_actor, suppressed)
        return position is not None

    def _suppress(self, chain_and_actor: tuple[str, str], count: int = 1) -> None:
        if chain_and_actor in self._suppressed or len(self._suppressed) < MOST_COUNTED:
            self._suppressed[chain_and_actor] += count
