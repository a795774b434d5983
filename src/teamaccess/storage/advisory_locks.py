"""All advisory locks of PostgreSQL that the application takes.

SECURITY: a caller chooses a part of what some locks are about, such as an Idempotency-Key. The hashes
that PostgreSQL offers for text can be inverted, so a caller could choose a key whose lock is another
tenant's. Here, a lock of the deployment has a constant number, and a lock about a text has a keyed hash
of it. The two kinds never meet: PostgreSQL keeps locks of two numbers apart from locks of one.
"""

import hmac
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from sqlalchemy import Select, func, select

APPLICATION = 0x7EA3
"""The first number of every lock of the deployment."""


class DeploymentLock(IntEnum):
    """A lock that the deployment has once. Its value is the second number, and never changes."""

    SCHEMA = 1
    """Held from writing a schema to SpiceDB until it is recorded."""
    WATCH = 2
    """Held by the worker that compares SpiceDB's writes with the ledgers."""


class Purpose(StrEnum):
    """What a lock about a text is for."""

    IDEMPOTENCY_KEY = "idempotency-key"
    FOUNDING = "founding"
    """One person founds one organization at a time."""
    MAILS = "mails"
    """One person invites into one organization at a time."""
    REFUSALS = "refusals"
    """The refusals of one chain are counted one at a time."""
    COMPARISON = "comparison"
    """One worker compares an organization at a time."""


@dataclass(frozen=True, repr=False)
class AdvisoryLocks:
    """The locks about texts. A number depends on the deployment's secret, so no caller chooses it."""

    key: bytes

    def number(self, purpose: Purpose, *about: str) -> int:
        """Return the number of the lock, as a signed integer of 64 bits."""
        parts = [purpose.value, *about]
        text = "".join(f"{len(part)}:{part}" for part in parts)  # no two lists have one text
        digest = hmac.digest(self.key, text.encode(), "sha256")
        return int.from_bytes(digest[:8], signed=True)

    def try_lock(self, purpose: Purpose, *about: str) -> Select[bool]:
        """Select whether this transaction has the lock now. It never waits for it."""
        return select(func.pg_try_advisory_xact_lock(self.number(purpose, *about)))

    def lock_within(
        self, seconds: float, purpose: Purpose, *about: str
    ) -> Select[tuple[str, None]]:
        """Wait at most `seconds` for the lock, and from then on for any other lock of the transaction."""
        timeout = func.set_config("lock_timeout", f"{round(seconds * 1000)}ms", True)
        return select(timeout, func.pg_advisory_xact_lock(self.number(purpose, *about)))


def lock(which: DeploymentLock) -> Select[None]:
    """Wait for a lock of the deployment, and hold it until the transaction ends."""
    return select(func.pg_advisory_xact_lock(APPLICATION, which))


def try_share(which: DeploymentLock) -> Select[bool]:
    """Select whether nobody else holds the lock. It is shared until the transaction ends."""
    return select(func.pg_try_advisory_xact_lock_shared(APPLICATION, which))


def try_lock_for_session(which: DeploymentLock) -> Select[bool]:
    """Select whether this connection has the lock now. It holds the lock until it is closed."""
    return select(func.pg_try_advisory_lock(APPLICATION, which))
