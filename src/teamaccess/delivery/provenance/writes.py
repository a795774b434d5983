"""Match a write that SpiceDB reports with the ledgers, to find foreign writes."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple

import msgspec

from teamaccess.delivery.writer import LARGEST_WRITE, MOST_POSITIONS, Write, is_marker
from teamaccess.ledger.entry import Entry
from teamaccess.relationships import Revocation, Touch, Update
from teamaccess.storage import OrganizationId

ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)
PositionKey = tuple[OrganizationId, int]
"""A position in an organization's ledger."""


class ClaimedPosition(msgspec.Struct):
    """A position that a write's metadata claims to deliver."""

    organization: str
    position: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]

    @property
    def key(self) -> PositionKey:
        """The organization and the position."""
        return OrganizationId(self.organization), self.position


class ClaimedRun(msgspec.Struct):
    """A run that a write's metadata claims. It serves only as information in a finding."""

    organization: str
    run: int = 0


class WriteClaim(msgspec.Struct):
    """What the metadata of a write claims. A write without claims is foreign."""

    changes: list[ClaimedPosition] = []
    """Positions delivered in their turn."""
    ahead: list[ClaimedPosition] = []
    """Positions whose revocations were delivered before their turn."""

    rebuild: list[ClaimedRun] = []
    purge: list[ClaimedRun] = []
    close: list[ClaimedRun] = []

    @property
    def positions(self) -> list[PositionKey]:
        """The positions that the write claims to deliver in their turn."""
        return [claimed.key for claimed in self.changes]

    @property
    def runs(self) -> list[dict[str, Any]]:
        """The runs that the write claims, as information in a finding."""
        named = [
            *(("rebuild", run) for run in self.rebuild),
            *(("purge", run) for run in self.purge),
            *(("close", run) for run in self.close),
        ]
        ahead = [
            {"kind": "ahead", "organization": claimed.organization, "position": claimed.position}
            for claimed in self.ahead
        ]
        runs = [
            {"kind": kind, "organization": run.organization, "run": run.run} for kind, run in named
        ]
        return [*runs, *ahead]


def read_claim(metadata: Mapping[str, Any]) -> WriteClaim:
    """Return what the metadata of a write claims, nothing if it is unreadable."""
    try:
        return msgspec.convert(metadata.get("teamaccess", {}), WriteClaim, strict=False)
    except msgspec.ValidationError:
        return WriteClaim()


class ClaimMatch(NamedTuple):
    """The match of a write with the positions that it claims."""

    unexplained: list[Update]
    """The updates that the claimed positions do not explain."""
    missing: dict[OrganizationId, list[Update]]
    """The updates of the claimed positions that the write does not contain, by organization. Watch leaves
    out an update that changed nothing, so each of them must have been in force before."""
    newest: dict[OrganizationId, int]
    """The newest position that the write delivers, by organization."""


def match_claim(
    updates: Sequence[Update],
    claimed: WriteClaim,
    ledger: Mapping[PositionKey, Entry],
    watched: Mapping[str, int],
) -> ClaimMatch:
    """Match a write with the positions that it claims.

    `ledger` has the entries of the claimed positions. `watched` has the newest position that Watch has
    reported, by organization.

    SECURITY: each position is delivered once. The write must create its marker and its head, delete the
    head before it (which exists once), and deliver a position after all those that Watch has reported.
    Otherwise a foreign write could explain itself by repeating a ledger's whole history from its first
    position. Only the net updates of its positions are explained: an update that a later one of them
    reverses is not. An entry explains only updates of its own organization. A write that claims more than
    one write can deliver explains nothing, so that a judgement asks at most LARGEST_WRITE questions.
    """
    written = {_canonical(update) for update in updates}
    expected: set[str] = set()
    missing: dict[OrganizationId, list[Update]] = {}
    newest: dict[OrganizationId, int] = {}
    by_organization = _claimed_entries(claimed, ledger)
    writes = {id: Write(tuple(entries)) for id, entries in by_organization.items()}
    if not _deliverable(writes.values()):
        writes = {}
    for organization, write in writes.items():
        entries = write.entries
        markers = {_canonical(Touch(marker)) for marker in write.markers(ANY_TIME)}
        heads = set(map(_canonical, write.head_updates))
        if entries[0].position <= watched.get(organization, 0):
            continue
        if written.issuperset(markers | heads):
            net = [each for each in write.net_updates if tenant_of_update(each) == organization]
            expected |= {*markers, *heads, *map(_canonical, net)}
            newest[organization] = entries[-1].position
            if lacking := [update for update in net if _canonical(update) not in written]:
                missing[organization] = lacking
    unexplained = [update for update in updates if _canonical(update) not in expected]
    return ClaimMatch(unexplained, missing, newest)


def _deliverable(writes: Collection[Write]) -> bool:
    """Return whether one write to SpiceDB can deliver all of these."""
    size = sum(write.size for write in writes)
    return size <= LARGEST_WRITE and sum(len(each.entries) for each in writes) <= MOST_POSITIONS


def _claimed_entries(
    claimed: WriteClaim, ledger: Mapping[PositionKey, Entry]
) -> dict[OrganizationId, list[Entry]]:
    """Return the ledger entries of the claimed positions by organization, each once and in order."""
    by_organization: dict[OrganizationId, list[Entry]] = {}
    for key in sorted(set(claimed.positions) & ledger.keys()):
        by_organization.setdefault(key[0], []).append(ledger[key])
    return by_organization


def _canonical(update: Update) -> str:
    """Return the update as text that is equal for the ledger's update and the reported one."""
    relationship = update.relationship
    if isinstance(update, Revocation):
        return f"DELETE {relationship.identity}"
    # a marker's expiration depends on the time at which it was sent
    return f"TOUCH {relationship.identity if is_marker(relationship) else relationship}"


def group_by_tenant(
    updates: Iterable[Update], unreadable: Iterable[str] = ()
) -> dict[str, list[str]]:
    """Return the updates, and the unreadable texts, of each tenant's objects."""
    by_tenant: dict[str, list[str]] = {}
    for update in updates:
        by_tenant.setdefault(tenant_of_update(update), []).append(str(update))
    for text in unreadable:
        tenant = _tenant_of_id(text.partition("#")[0].partition(":")[2])
        by_tenant.setdefault(tenant, []).append(text)
    return by_tenant


def tenant_of_update(update: Update) -> str:
    """Return the tenant of the resource that an update is about."""
    return _tenant_of_id(update.relationship.resource.id)


def _tenant_of_id(resource_id: str) -> str:
    return resource_id.partition("/")[0]
