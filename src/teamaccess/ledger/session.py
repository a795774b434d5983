"""The session whose commit brings every changed row into the ledger."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, cast

import msgspec
from sqlalchemy import Table, event, func, insert, make_url, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session

from teamaccess.catalog import Catalog
from teamaccess.ledger.dialect import DRIVER, sqlstate
from teamaccess.ledger.entry import Attribution, Entry
from teamaccess.ledger.errors import (
    IndivisibleChange,
    OrganizationBusy,
    OverlappingRows,
    SchemaViolation,
    UnattributedChange,
)
from teamaccess.relationships import (
    InvalidRelationship,
    Relationship,
    Revocation,
    Update,
    difference,
)
from teamaccess.storage import LedgerEntry, OrganizationId, RelationshipSource

UPDATES_PER_POSITION = 900
"""SpiceDB takes 1,000 updates a write, markers included; this leaves room for them."""

UPDATES_IN_ANY_CASE = 997
"""Of one subject, whose updates stay together: the limit and what marks the position."""

REGISTERED_AS = ("organization", "creator")
"""What an object is registered as: relations of the object's that give nobody anything."""

Image = Mapping[str, Any]
"""A row as PostgreSQL's `to_jsonb` shows it."""


class Note(NamedTuple):
    """The rows of a source table before and after one statement."""

    source: str
    before: Sequence[Image]
    after: Sequence[Image]


def net_updates(notes: Iterable[Note]) -> dict[OrganizationId, list[Update]]:
    """Return what the notes of one transaction come to, by organization in the order of ids.

    A row's intermediate images are among the `after` of one note and the `before` of the next, so in
    the sum over all notes they cancel, and what remains is each row's first old image against its last
    new one, whatever the order of the notes and even where keys have changed (docs/decisions/0001).
    """
    tables = RelationshipSource.tables()
    balance: dict[OrganizationId, Counter[Relationship]] = defaultdict(Counter)
    for note in notes:
        source = tables[note.source]
        for images, sign in ((note.before, -1), (note.after, 1)):
            for image in images:
                tenant = balance[OrganizationId(image["organization_id"])]
                for relationship in source.relationships_of(image):
                    tenant[relationship] += sign
    return {
        organization: updates
        for organization in sorted(balance)
        if (updates := _difference(balance[organization]))
    }


def _difference(balance: Counter[Relationship]) -> list[Update]:
    for relationship, count in balance.items():
        if abs(count) > 1:
            raise OverlappingRows(f"{abs(count)} rows stand for {relationship}")
    try:
        return difference(
            before=[relationship for relationship, count in balance.items() if count < 0],
            after=[relationship for relationship, count in balance.items() if count > 0],
        )
    except InvalidRelationship as two_ends:
        raise OverlappingRows(str(two_ends)) from two_ends


def split_into_positions(updates: list[Update]) -> Iterator[list[Update]]:
    """Divide the updates of one transaction into positions, in the order they must be applied.

    Normally there is one. Beyond the limit pure revocations come first, and what belongs together
    stays together: where a subject loses something and gets something else (deleting a role in one
    write and giving the next in another would deny everything in between), and what an object is
    registered as (without its creator it would be theirs to authorize in between).
    """
    if len(updates) <= UPDATES_PER_POSITION:
        yield updates
        return
    together: dict[str, list[Update]] = defaultdict(list)
    for update in updates:
        together[_belongs_to(update.relationship)].append(update)
    revoking = [group for group in together.values() if _only_revokes(group)]
    giving = [group for group in together.values() if not _only_revokes(group)]
    for groups in (_parts(revoking), _parts(giving)):
        yield from _packed(groups)


def _belongs_to(relationship: Relationship) -> str:
    """Return the object that it registers, or else its subject."""
    if relationship.resource.type != "organization" and relationship.relation in REGISTERED_AS:
        return str(relationship.resource)
    return str(relationship.subject)


def _parts(groups: list[list[Update]]) -> list[list[Update]]:
    """Return the groups, those in parts that are too large for a position and may be divided."""
    return [
        part
        for group in groups
        for part in (_divided(group) if _may_be_divided(group) else [group])
    ]


def _divided(group: list[Update]) -> list[list[Update]]:
    """Return the updates in parts that fit into a position."""
    at_once = UPDATES_PER_POSITION
    return [group[start : start + at_once] for start in range(0, len(group), at_once)]


def _may_be_divided(group: list[Update]) -> bool:
    """Whether nothing in it takes the place of something else."""
    return len({isinstance(update, Revocation) for update in group}) == 1


def _only_revokes(group: list[Update]) -> bool:
    return all(isinstance(update, Revocation) for update in group)


def _packed(groups: list[list[Update]]) -> Iterator[list[Update]]:
    position: list[Update] = []
    for group in groups:
        if len(group) > UPDATES_IN_ANY_CASE:
            raise IndivisibleChange(f"{len(group)} updates of {group[0].relationship.subject}")
        if position and len(position) + len(group) > UPDATES_PER_POSITION:
            yield position
            position = []
        position = [*position, *group]
    if position:
        yield position


LEDGER = cast(Table, LedgerEntry.__table__)
APPEND = insert(LEDGER).returning(LEDGER.c.position, LEDGER.c.hash, LEDGER.c.previous_hash)
NOW = select(func.clock_timestamp())
DRAIN = text("SELECT source, before, after FROM ledger_drain()")


async def clock(session: AsyncSession) -> datetime:
    """Return PostgreSQL's clock, the one by which everything is decided."""
    now: datetime = (await session.execute(NOW)).scalar_one()
    return now


@dataclass
class Recording:
    """What one session has recorded in ledgers so far, and what each of its entries says."""

    catalog: Catalog
    attribution: Attribution | None = None
    """Who makes the change; without it no entry can be written."""
    reason_hash: bytes | None = None
    """The hash of the reason that was given, if one was."""
    entries: list[Entry] = field(default_factory=list)
    """The entries written so far; a rollback empties the list."""
    committing: list[Entry] = field(default_factory=list)
    """The entries of the commit under way. They survive a rollback: PostgreSQL may go away during the
    commit, and then nobody knows yet whether they exist."""


class LedgerSession(Session):
    """A session that drains PostgreSQL's notes into the ledger before each commit."""

    def __init__(self, *arguments: Any, catalog: Catalog, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.recording = Recording(catalog)


def recording_of(session: Session | AsyncSession) -> Recording:
    """Return what a session records; raises TypeError for one that `sessions` did not make."""
    ledger = session.sync_session if isinstance(session, AsyncSession) else session
    if not isinstance(ledger, LedgerSession):
        raise TypeError("only a LedgerSession records changes")
    return ledger.recording


Sessions = async_sessionmaker[AsyncSession]


def sessions(engine: AsyncEngine, catalog: Catalog) -> Sessions:
    """Return the maker of the only sessions whose commits PostgreSQL accepts."""
    return async_sessionmaker(
        engine,
        sync_session_class=LedgerSession,
        expire_on_commit=False,
        catalog=catalog,
    )


PATIENCE = {
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "15s",
}
"""Nobody waits longer for one organization's lock, and a frozen process does not keep it."""


LOCK_NOT_AVAILABLE = "55P03"
"""PostgreSQL's code for a lock that was not had in `lock_timeout`."""


@contextmanager
def refusing_busy(*organizations: OrganizationId) -> Iterator[None]:
    """Raise OrganizationBusy where their locks are not had in time."""
    try:
        yield
    except DBAPIError as error:
        if sqlstate(error) == LOCK_NOT_AVAILABLE:
            raise OrganizationBusy(organization=", ".join(organizations)) from error
        raise


UNHURRIED = text("SET LOCAL idle_in_transaction_session_timeout = '10min'")
"""For a transaction in which SpiceDB is asked for all that it holds."""


def database(
    url: str, connections: int = 8, *, transactions: bool = True, **options: str
) -> AsyncEngine:
    """Return a pool of connections to PostgreSQL, in UTC whatever the server's own zone.

    Without `transactions` each statement stands alone: no BEGIN before and no COMMIT after it.
    """
    return create_async_engine(
        make_url(url).set(drivername=DRIVER),
        isolation_level=None if transactions else "AUTOCOMMIT",
        connect_args={"server_settings": {"timezone": "UTC", **PATIENCE, **options}},
        pool_size=connections,
        max_overflow=0,
        pool_timeout=10,
        pool_pre_ping=True,  # of this dialect: costs no round trip
        json_deserializer=msgspec.json.decode,
        hide_parameters=True,  # an error that is logged names no address and no hash
    )


@event.listens_for(LedgerSession, "before_commit")
def drain(session: Session) -> None:
    """Append what the transaction's changed rows mean, in the same transaction."""
    if session.in_nested_transaction():
        return
    session.flush()
    notes = [Note(*row) for row in session.connection().execute(DRAIN)]
    for organization, updates in net_updates(notes).items():
        append(session, organization, updates)
    recording = recording_of(session)
    recording.committing = recording.entries


def append(session: Session, organization: OrganizationId, updates: list[Update]) -> None:
    """Append updates to the organization's ledger, as one position or more."""
    recording_of(session).entries.extend(
        _append(session, organization, part) for part in split_into_positions(updates)
    )


@event.listens_for(LedgerSession, "after_rollback")
def forget(session: Session) -> None:
    """Forget the entries: a rollback undoes them, and they must never reach SpiceDB."""
    recording_of(session).entries = []


def _append(session: Session, organization: OrganizationId, updates: list[Update]) -> Entry:
    recording = recording_of(session)
    catalog, attribution = recording.catalog, recording.attribution
    if attribution is None:
        raise UnattributedChange(
            f"{len(updates)} updates in {organization}, the first: {updates[0]}"
        )
    _refuse_foreign(catalog.permits, updates)
    row = (
        session.connection()
        .execute(
            APPEND,
            {
                "organization_id": organization,
                "updates": [str(update) for update in updates],
                "actor": attribution.actor,
                "channel": attribution.channel,
                "request_id": attribution.request_id,
                "catalog_version": catalog.version,
                "reason_hash": recording.reason_hash,
            },
        )
        .one()
    )
    return Entry(
        organization=organization,
        position=row.position,
        hash=row.hash,
        previous_hash=row.previous_hash,
        updates=tuple(updates),
        actor=attribution.actor,
        request_id=attribution.request_id,
    )


def _refuse_foreign(permits: Callable[..., bool], updates: list[Update]) -> None:
    """SpiceDB would refuse such a relationship for good, after the commit; so nothing is committed."""
    for update in updates:
        if not permits(update.relationship):
            raise SchemaViolation(f"the schema has no place for {update.relationship}")
