"""Import many members into an organization: an operator moves a customer to this service."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import msgspec
from sqlalchemy import text

from teamaccess.access.authorize import OperatorOnlyRole
from teamaccess.access.holdings import role_set_of
from teamaccess.changes import Change, Ledger
from teamaccess.changes.events import record
from teamaccess.changes.events.members import MembersImported
from teamaccess.delivery import Applier
from teamaccess.ledger import Attribution, Entry, OrganizationBusy
from teamaccess.ledger.session import raise_busy_on_lock_timeout
from teamaccess.storage import OrganizationId, RoleId, UserId, new_user_id

BATCH = 450
"""Members in one change: with a role each they make one write to SpiceDB."""
AHEAD = 2
"""Batches that are written while another one is delivered to SpiceDB."""
PATIENCE_SECONDS = 30.0
"""How long a batch is retried: others may hold the lock, or create the same users."""
PAUSE_SECONDS = 0.2

JOIN = text("""
WITH wanted AS (
  SELECT * FROM json_to_recordset(CAST(:newcomers AS json))
    AS newcomer (id text, email text, name text, role text, custom boolean)
  ORDER BY email
), made AS (
  INSERT INTO users (id, email, name, created_at, tokens_valid_from)
  SELECT id, email, name, CAST(:now AS timestamptz), CAST(:now AS timestamptz) FROM wanted
  ON CONFLICT (email) DO NOTHING
  RETURNING id, email
), known AS (
  SELECT id, email FROM made
  UNION ALL
  SELECT id, email FROM users WHERE email = ANY (ARRAY(SELECT email FROM wanted))
), joined AS (
  INSERT INTO memberships (organization_id, user_id, joined_at)
  SELECT :organization, id, CAST(:now AS timestamptz) FROM known
  ON CONFLICT DO NOTHING
  RETURNING user_id
), given AS (
  INSERT INTO role_assignments (organization_id, user_id, role, custom, granted_at)
  SELECT :organization, user_id, role, custom, CAST(:now AS timestamptz)
  FROM joined JOIN known ON known.id = user_id JOIN wanted USING (email)
), withdrawn AS (
  UPDATE invitations SET cancelled_at = CAST(:now AS timestamptz) FROM wanted
  WHERE organization_id = :organization AND invitations.email = wanted.email
    AND accepted_at IS NULL AND cancelled_at IS NULL
)
SELECT known.email, known.id, joined.user_id IS NOT NULL
FROM known LEFT JOIN joined ON joined.user_id = known.id
""")
"""One statement takes less time than one for each table.

Users created concurrently are not visible yet, so the statement is retried. Open invitations to the new
members are cancelled.
"""

REHEARSED_JOIN = text("""
WITH wanted AS (
  SELECT * FROM json_to_recordset(CAST(:newcomers AS json))
    AS newcomer (id text, email text, role text, custom boolean)
), here AS (
  SELECT id, email FROM users JOIN memberships ON user_id = id
  WHERE organization_id = :organization AND email = ANY (ARRAY(SELECT email FROM wanted))
), new AS (
  SELECT * FROM wanted WHERE email NOT IN (SELECT email FROM here)
), made AS (
  INSERT INTO users (id, created_at, tokens_valid_from)
  SELECT id, CAST(:now AS timestamptz), CAST(:now AS timestamptz) FROM new
), joined AS (
  INSERT INTO memberships (organization_id, user_id, joined_at)
  SELECT :organization, id, CAST(:now AS timestamptz) FROM new
), given AS (
  INSERT INTO role_assignments (organization_id, user_id, role, custom, granted_at)
  SELECT :organization, id, role, custom, CAST(:now AS timestamptz) FROM new
), withdrawn AS (
  UPDATE invitations SET cancelled_at = CAST(:now AS timestamptz) FROM wanted
  WHERE organization_id = :organization AND invitations.email = wanted.email
    AND accepted_at IS NULL AND cancelled_at IS NULL
)
SELECT wanted.email, coalesce(here.id, wanted.id), here.id IS NULL
FROM wanted LEFT JOIN here USING (email)
""")
"""JOIN without addresses, for a rehearsal.

SECURITY: a user's address is unique on the platform. Until the rollback, a new one would block everybody
who signs in with it or accepts an invitation to it. Everybody who is not a member here gets a new id, so
a plan does not reveal which addresses have users elsewhere.
"""


@dataclass(frozen=True)
class Newcomer:
    """Somebody to import."""

    email: str
    """Normalized."""
    name: str | None
    role: RoleId
    id: UserId | None = None
    """The id that a new user gets; if None, one is generated."""


class ImportedMember(NamedTuple):
    """One row of an import."""

    email: str
    user: UserId
    joined: bool
    """Whether they were not a member before. A member stays as they are."""


class ImportedBatch(NamedTuple):
    """A batch that is committed."""

    members: list[ImportedMember]
    """In the order of the rows."""
    position: int | None
    """The position of the ledger entry that made them members; None if all of them were."""

    @property
    def joined(self) -> int:
        """How many of them were new."""
        return sum(member.joined for member in self.members)


async def import_members(
    ledger: Ledger,
    applier: Applier,
    attribution: Attribution,
    organization: OrganizationId,
    newcomers: Iterable[Newcomer],
) -> AsyncIterator[ImportedBatch]:
    """Import the newcomers; yield each batch with the ids of its members and its ledger position.

    Existing members stay as they are, so an interrupted import can be run again. While one batch is
    delivered to SpiceDB the next ones are written. Raises UnknownRole, OperatorOnlyRole (also for
    operators: administrators are made one by one), OrganizationBusy if others hold a lock for too long,
    and EngineUnavailable if SpiceDB does not answer. Batches that were yielded before an error are
    committed, and will be delivered.
    """
    deliveries: deque[asyncio.Task[None]] = deque()
    newest = -1  # the newest position that this import has written
    try:
        for batch in _batches(newcomers):
            decided, members = await _write(ledger, attribution, organization, batch)
            previous = deliveries[-1] if deliveries else None
            deliveries.append(
                asyncio.create_task(_deliver(applier, organization, decided, newest, previous))
            )
            newest = decided[-1].position if decided else newest
            while len(deliveries) > AHEAD:
                await deliveries.popleft()
            yield ImportedBatch(members, decided[-1].position if decided else None)
    finally:
        await asyncio.gather(*deliveries)


async def _write(
    ledger: Ledger,
    attribution: Attribution,
    organization: OrganizationId,
    batch: Sequence[Newcomer],
) -> tuple[Sequence[Entry], list[ImportedMember]]:
    """Commit one batch; return the entries and the members."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with raise_busy_on_lock_timeout(organization):
                async with ledger.change(attribution, organization, judging=False) as change:
                    members = await join(change, organization, batch)
                    await ledger.decide(change)
            return change.entries, members
        except OrganizationBusy:
            if time.monotonic() > give_up:
                raise
        await asyncio.sleep(PAUSE_SECONDS)


async def _deliver(
    applier: Applier,
    organization: OrganizationId,
    decided: Sequence[Entry],
    newest: int,
    previous: asyncio.Task[None] | None,
) -> None:
    """Deliver the entries to SpiceDB after the previous delivery.

    If they do not follow its newest position, everything pending is delivered.
    """
    if previous is not None:
        await previous
    if decided and decided[0].position == newest + 1:
        await applier.apply(decided)
    else:
        await applier.catch_up(organization)


async def join(
    change: Change, organization: OrganizationId, batch: Sequence[Newcomer]
) -> list[ImportedMember]:
    """Make the batch members; return each with their id, in the order of the batch."""
    roles = sorted({newcomer.role for newcomer in batch})
    role_set = await role_set_of(change.session, change.catalog, organization, roles)
    for role in roles:
        role_set.refuse_unknown([role])
        if role_set.operators_grant(role):
            raise OperatorOnlyRole(role=role)
    by_email = {newcomer.email: newcomer for newcomer in batch}
    earlier = {
        email: ImportedMember(email, id, joined=False) for email, id in change.newcomers.items()
    }
    newcomers = [
        {
            "id": each.id or new_user_id(),
            "email": each.email,
            "name": each.name,
            "role": each.role,
            "custom": each.role in role_set.custom,
        }
        for each in by_email.values()
        if each.email not in earlier
    ]
    parameters = {
        "newcomers": msgspec.json.encode(newcomers).decode(),
        "organization": organization,
        "now": change.now,
    }
    found = {email: earlier[email] for email in by_email if email in earlier}
    statement = REHEARSED_JOIN if change.is_rehearsal else JOIN
    while len(found) < len(by_email):
        for email, user, joined in await change.session.execute(statement, parameters):
            if email not in found or joined:
                found[email] = ImportedMember(email, user, joined)
    if change.is_rehearsal:
        change.newcomers |= {each.email: each.user for each in found.values() if each.joined}
    members = [found[email] for email in by_email]
    joined_members = sum(member.joined for member in members)
    await record(change, MembersImported(members=joined_members), organization, organization)
    return members


def _batches(newcomers: Iterable[Newcomer]) -> Iterator[list[Newcomer]]:
    rest = iter(newcomers)
    while batch := list(islice(rest, BATCH)):
        yield batch
