"""Write down what was refused, within limits: a chain can be neither pruned nor flooded."""

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

KINDS = (EventKind.REFUSED, EventKind.SIGN_IN_REFUSED, EventKind.ACCEPTANCE_REFUSED)
"""The kinds of events that this module writes, and that count against its limits."""
GRAIN_SECONDS = 60.0
AT_ONCE = 2
"""Connections that refusals use at a time in one process."""
MOST_WAITING = 100
"""Refusals that wait for such a connection; the next ones are only counted."""
MOST_COUNTED = 10_000
"""Actors whose suppressed refusals one process counts."""

ONE_AFTER_THE_OTHER = text(
    "SELECT pg_advisory_xact_lock(hashtextextended('teamaccess refusals ' || :chain, 0))"
)
TELL_WITHIN_LIMITS = text("""
INSERT INTO events (chain, kind, actor, channel, request_id, subject, details)
SELECT :chain, :kind, :actor, :channel, :request_id, :subject, :details
FROM (
  SELECT count(*) AS everybody,
    count(*) FILTER (WHERE split_part(actor, ' via ', -1) = split_part(:actor, ' via ', -1)) AS theirs
  FROM (
    SELECT actor FROM events
    WHERE chain = :chain AND kind = ANY (:kinds)
      AND occurred_at > clock_timestamp() - interval '1 hour'
    LIMIT :everybody
  ) AS lately
) AS told
WHERE told.everybody < :everybody AND told.theirs < :theirs
RETURNING position
""").bindparams(bindparam("details", type_=JSONB), bindparam("kinds", type_=ARRAY(Text)))
"""The chain itself is the count, so the limits hold across processes and restarts."""


@dataclass(frozen=True)
class RefusalLimits:
    """How many refusals one chain takes in an hour."""

    from_one_actor: int = 60
    """A service account counts as itself, whomever it acts for."""
    from_everybody: int = 2000


class Refusals:
    """Records what was refused, each kind of refusal of the same actor once a minute.

    SECURITY: anybody can make refusals, as many as they like, and no event is ever deleted. So nothing
    that a caller can choose freely is part of a limit's key: one actor gets so many refusals an hour
    into a chain, and all actors together so many. What is suppressed is counted, and told with the next
    refusal of that actor that is recorded (`suppressed`); the count is the process's own.
    """

    def __init__(self, sessions: Sessions, limits: RefusalLimits | None = None) -> None:
        self._sessions = sessions
        self._limits = limits or RefusalLimits()
        self._due = Throttle(GRAIN_SECONDS)
        self._suppressed: Counter[tuple[str, str]] = Counter()
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def record(
        self,
        attribution: Attribution,
        refusal: RefusalDetails,
        chain: str = Event.PLATFORM,
        subject: str | None = None,
    ) -> None:
        """Record a refusal in a transaction of its own, or count it where it is one too many.

        Only the subject, `code`, `cause`, `method` and `route` distinguish refusals: a subject is
        something that there is, the others have few values, and callers choose none of them freely.
        """
        who = (chain, attribution.actor)
        stored = refusal.stored()
        about = (stored.get(each) for each in ("code", "cause", "method", "route"))
        same = (*who, refusal.kind, subject, *about)
        if self._waiting >= MOST_WAITING or not self._due.allows(same):
            self._suppress(who)
            return
        self._waiting += 1
        try:
            async with self._turn:
                told = await self._tell(attribution, refusal, chain, subject)
        finally:
            self._waiting -= 1
        if not told:
            self._suppress(who)

    async def _tell(
        self,
        attribution: Attribution,
        refusal: RefusalDetails,
        chain: str,
        subject: str | None,
    ) -> bool:
        """Return whether the refusal is recorded, which the limits may forbid."""
        who = (chain, attribution.actor)
        suppressed = self._suppressed.pop(who, 0)
        if suppressed:
            refusal = structs.replace(refusal, suppressed=suppressed)
        async with self._sessions() as session:
            await session.execute(ONE_AFTER_THE_OTHER, {"chain": chain})
            told = await session.scalar(
                TELL_WITHIN_LIMITS,
                {
                    "chain": chain,
                    "kind": refusal.kind.value,
                    "actor": attribution.actor,
                    "channel": attribution.channel,
                    "request_id": attribution.request_id,
                    "subject": refusal.subject.named(subject),
                    "details": refusal.stored(),
                    "kinds": list(KINDS),
                    "theirs": self._limits.from_one_actor,
                    "everybody": self._limits.from_everybody,
                },
            )
            await session.commit()
        if told is None:
            self._suppress(who, suppressed)
        return told is not None

    def _suppress(self, who: tuple[str, str], count: int = 1) -> None:
        if who in self._suppressed or len(self._suppressed) < MOST_COUNTED:
            self._suppressed[who] += count
