"""The session whose commit records every changed row in the ledger."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, cast

import msgspec
from sqlalchemy import Table, event, func, insert, make_url, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session

from teamaccess.catalog import Catalog
from teamaccess.common.postgres.connect import connect, sqlstate
from teamaccess.common.postgres.silence import SERVER_SETTINGS, note_use
from teamaccess.ledger.dialect import DRIVER
from teamaccess.ledger.entry import Attribution, Entry
from teamaccess.ledger.errors import (
    ForeignSchemaFound,
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
    Touch,
    Update,
    difference,
)
from teamaccess.storage import MAX_UPDATES, LedgerEntry, OrganizationId, RelationshipSource

UPDATES_PER_POSITION = 900
"""SpiceDB accepts 1,000 updates in one write. This leaves room for the markers."""

MAX_UPDATES_OF_ONE_SUBJECT = MAX_UPDATES
"""Updates of one subject stay in one position."""

REGISTRATION_RELATIONS = ("organization", "creator")
"""The relations of a registered object that give no access by themselves."""

Image = Mapping[str, Any]
"""A row as PostgreSQL's `to_jsonb` returns it."""


class Note(NamedTuple):
    """The rows of a source table before and after one statement."""

    source: str
    before: Sequence[Image]
    after: Sequence[Image]


def net_updates(notes: Iterable[Note]) -> dict[OrganizationId, list[Update]]:
    """Return the net updates of one transaction's notes, by organization in the order of ids.

    Each intermediate image of a row is in the `after` of one note and in the `before` of the next, so the
    two cancel in the sum over all notes. What remains is the difference between each row's first
    old image and its last new one. The order of the notes does not matter, and keys may change
    (docs/decisions/0001).
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
    """Yield the updates of one transaction by position, in the order in which they must be applied.

    Normally there is one position. Beyond the limit, pure revocations come first. Two kinds of updates
    stay in one position:

    - The updates of a subject that loses some access and gets other access. With two writes, the subject
      would have neither in between.
    - The registration of an object. If the relationship `creator` came later, the creator could
      authorize the object in between.
    """
    if len(updates) <= UPDATES_PER_POSITION:
        yield updates
        return
    together: dict[str, list[Update]] = defaultdict(list)
    for update in updates:
        together[_group_key(update.relationship)].append(update)
    revoking = [group for group in together.values() if _only_revokes(group)]
    giving = [group for group in together.values() if not _only_revokes(group)]
    for groups in (_divide_large_groups(revoking), _divide_large_groups(giving)):
        yield from _pack_groups(groups)


def _group_key(relationship: Relationship) -> str:
    """Return the object that the relationship registers, or else its subject."""
    if (
        relationship.resource.type != "organization"
        and relationship.relation in REGISTRATION_RELATIONS
    ):
        return str(relationship.resource)
    return str(relationship.subject)


def _divide_large_groups(groups: list[list[Update]]) -> list[list[Update]]:
    """Return the groups. Each group that may be divided is cut into parts that fit into a position."""
    return [
        part for group in groups for part in (_divide(group) if _may_be_divided(group) else [group])
    ]


def _divide(group: list[Update]) -> list[list[Update]]:
    """Return the updates of a group in parts that fit into a position."""
    at_once = UPDATES_PER_POSITION
    return [group[start : start + at_once] for start in range(0, len(group), at_once)]


def _may_be_divided(group: list[Update]) -> bool:
    """Return whether the group only gives or only takes away, so that nothing replaces anything."""
    return len({isinstance(update, Revocation) for update in group}) == 1


def _only_revokes(group: list[Update]) -> bool:
    return all(isinstance(update, Revocation) for update in group)


def _pack_groups(groups: list[list[Update]]) -> Iterator[list[Update]]:
    position: list[Update] = []
    for group in groups:
        if len(group) > MAX_UPDATES_OF_ONE_SUBJECT:
            raise IndivisibleChange(f"{len(group)} updates of {group[0].relationship.subject}")
        if position and len(position) + len(group) > UPDATES_PER_POSITION:
            yield position
            position = []
        position = [*position, *group]
    if position:
        yield position


LEDGER = cast(Table, LedgerEntry.__table__)
APPEND = insert(LEDGER).returning(
    LEDGER.c.position,
    LEDGER.c.hash,
    LEDGER.c.previous_hash,
    func.foreign_schema_found().label("foreign_schema"),
)
"""It also reads, with a new snapshot, whether a foreign schema was found since the change was opened."""
NOW = select(func.clock_timestamp())
DRAIN = text("SELECT source, before, after FROM ledger_drain()")


async def database_time(session: AsyncSession | AsyncConnection) -> datetime:
    """Return the time of PostgreSQL's clock. All decisions use this clock."""
    now: datetime = (await session.execute(NOW)).scalar_one()
    return now


@dataclass
class Recording:
    """What one session has recorded in ledgers, and the attribution of its entries."""

    catalog: Catalog
    attribution: Attribution | None = None
    """The attribution of the change. Without it, no entry can be written."""
    reason_hash: bytes | None = None
    """The hash of the reason, if there is one."""
    entries: list[Entry] = field(default_factory=list)
    """The entries written so far. A rollback empties the list."""
    committing: list[Entry] = field(default_factory=list)
    """The entries of the commit under way. They survive a rollback, because the outcome is unknown if
    PostgreSQL goes away during the commit."""


class LedgerSession(Session):
    """A session that turns PostgreSQL's notes into ledger entries before each commit."""

    def __init__(self, *arguments: Any, catalog: Catalog, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.recording = Recording(catalog)


def recording_of(session: Session | AsyncSession) -> Recording:
    """Return what a session records. Raises TypeError for a session that is not a LedgerSession."""
    ledger_session = session.sync_session if isinstance(session, AsyncSession) else session
    if not isinstance(ledger_session, LedgerSession):
        raise TypeError("only a LedgerSession records changes")
    return ledger_session.recording


Sessions = async_sessionmaker[AsyncSession]


def session_maker(engine: AsyncEngine, catalog: Catalog) -> Sessions:
    """Return a session maker. PostgreSQL accepts changes of access only from its sessions."""
    return async_sessionmaker(
        engine,
        sync_session_class=LedgerSession,
        expire_on_commit=False,
        catalog=catalog,
    )


SERVER_TIMEOUTS = {
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "15s",
    **SERVER_SETTINGS,
}
"""Timeouts of each connection. They limit the wait for an organization's lock, and free the lock if a
process freezes or its machine is gone."""


LOCK_NOT_AVAILABLE = "55P03"
"""PostgreSQL's code for a lock that could not be acquired within `lock_timeout`."""


@contextmanager
def raise_busy_on_lock_timeout(*organizations: OrganizationId) -> Iterator[None]:
    """Raise OrganizationBusy if the block cannot acquire the organizations' locks in time."""
    try:
        yield
    except DBAPIError as error:
        if sqlstate(error) == LOCK_NOT_AVAILABLE:
            raise OrganizationBusy(organization=", ".join(organizations)) from error
        raise


ALLOW_LONG_TRANSACTION = text("SET LOCAL idle_in_transaction_session_timeout = '10min'")
"""For a transaction that reads everything that SpiceDB holds of an organization."""


def create_pool(
    url: str, connections: int = 8, *, transactions: bool = True, **options: str
) -> AsyncEngine:
    """Return a pool of connections to PostgreSQL. Their time zone is UTC.

    SECURITY: the level of isolation is set here, because the role may change its own default. At a higher
    level, what is read again under a lock would be as old as the first reading.

    Without `transactions`, each statement commits by itself, without BEGIN and COMMIT. `options` are
    PostgreSQL's settings for each connection.
    """
    engine = create_async_engine(
        make_url(url).set(drivername=DRIVER),
        isolation_level=None if transactions else "AUTOCOMMIT",
        connect_args={
            "async_creator_fn": connect,
            "server_settings": {
                "timezone": "UTC",
                "default_transaction_isolation": "read committed",
                **SERVER_TIMEOUTS,
                **options,
            },
        },
        pool_size=connections,
        max_overflow=0,
        pool_timeout=10,
        pool_pre_ping=True,  # this dialect's ping takes no round trip on a connection in use
        json_deserializer=_read_json,
        hide_parameters=True,  # so that a logged error contains no address and no hash
    )
    event.listen(engine.sync_engine, "checkin", note_use)
    return engine


def _read_json(text: str | bytes) -> Any:
    """Return the JSON of a column, or a placeholder for JSON that Python refuses.

    PostgreSQL stores deeper JSON, and longer numbers, than Python reads. A list must remain readable
    although one of its rows is not.
    """
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return {"unreadable": True}


@event.listens_for(LedgerSession, "before_commit")
def drain_notes(session: Session) -> None:
    """Append the updates of the transaction's changed rows to the ledger, in the same transaction."""
    if session.in_nested_transaction():
        return
    session.flush()
    notes = [Note(*row) for row in session.connection().execute(DRAIN)]
    for organization, updates in net_updates(notes).items():
        append_updates(session, organization, updates)
    recording = recording_of(session)
    recording.committing = recording.entries


def append_updates(session: Session, organization: OrganizationId, updates: list[Update]) -> None:
    """Append updates to the organization's ledger, in one or more positions."""
    recording_of(session).entries.extend(
        _append(session, organization, part) for part in split_into_positions(updates)
    )


@event.listens_for(LedgerSession, "after_rollback")
def discard_entries(session: Session) -> None:
    """Forget entries that were rolled back. They must never reach SpiceDB."""
    recording_of(session).entries = []


def _append(session: Session, organization: OrganizationId, updates: list[Update]) -> Entry:
    recording = recording_of(session)
    catalog, attribution = recording.catalog, recording.attribution
    if attribution is None:
        raise UnattributedChange(
            f"{len(updates)} updates in {organization}, the first: {updates[0]}"
        )
    _refuse_schema_violations(catalog, updates)
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
    if row.foreign_schema and any(isinstance(update, Touch) for update in updates):
        raise ForeignSchemaFound
    return Entry(
        organization=organization,
        position=row.position,
        hash=row.hash,
        previous_hash=row.previous_hash,
        updates=tuple(updates),
        actor=attribution.actor,
        request_id=attribution.request_id,
    )


def _refuse_schema_violations(catalog: Catalog, updates: list[Update]) -> None:
    """Raise SchemaViolation for a relationship that the schema does not allow.

    After the commit, SpiceDB would refuse it for good. So it must not be committed.
    """
    for update in updates:
        if not catalog.schema_allows(update.relationship):
            raise SchemaViolation(f"the schema has no place for {update.relationship}")
