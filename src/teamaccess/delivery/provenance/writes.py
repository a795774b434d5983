"""Whether a write that SpiceDB tells of is what the ledgers say, or somebody going round them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, NamedTuple

import msgspec

from teamaccess.ledger.entry import Entry, is_marker
from teamaccess.relationships import Revocation, Touch, Update
from teamaccess.storage import OrganizationId

ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)
Place = tuple[OrganizationId, int]
"""A position of an organization's ledger."""


class Claimed(msgspec.Struct):
    """One position that a write says it carries."""

    organization: str
    position: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]

    @property
    def place(self) -> Place:
        """Where that is."""
        return OrganizationId(self.organization), self.position


class Run(msgspec.Struct):
    """A run that a write says it belongs to. It only tells whoever reads a finding what was claimed."""

    organization: str
    run: int = 0


class Claim(msgspec.Struct):
    """What a write says of itself; one that claims nothing cannot be ours."""

    changes: list[Claimed] = []
    """Positions in their turn."""
    ahead: list[Claimed] = []
    """Positions whose revocations could not wait for their turn."""

    rebuild: list[Run] = []
    purge: list[Run] = []
    close: list[Run] = []

    @property
    def places(self) -> list[Place]:
        """The positions that the write says it carries in their turn."""
        return [each.place for each in self.changes]

    @property
    def runs(self) -> list[dict[str, Any]]:
        """The runs that the write says it belongs to, for whoever reads a finding."""
        named = [
            *(("rebuild", each) for each in self.rebuild),
            *(("purge", each) for each in self.purge),
            *(("close", each) for each in self.close),
        ]
        ahead = [
            {"kind": "ahead", "organization": each.organization, "position": each.position}
            for each in self.ahead
        ]
        runs = [
            {"kind": kind, "organization": each.organization, "run": each.run}
            for kind, each in named
        ]
        return [*runs, *ahead]


def claim(metadata: Mapping[str, Any]) -> Claim:
    """Return what the metadata of a write claims; nothing where it cannot be read."""
    try:
        return msgspec.convert(metadata.get("teamaccess", {}), Claim, strict=False)
    except msgspec.ValidationError:
        return Claim()


class Arrival(NamedTuple):
    """What a write brings of the ledgers."""

    unexplained: list[Update]
    """The updates that the claimed positions do not account for."""
    newest: dict[OrganizationId, int]
    """The newest position that arrives with it, by organization."""


def arrival(
    updates: Sequence[Update],
    claimed: Claim,
    ledger: Mapping[Place, Entry],
    watched: Mapping[str, int],
) -> Arrival:
    """Return what a write brings of the positions that it says it carries.

    SECURITY: each position arrives once. It comes with its marker, takes away the head before it, which
    is there once, and lies beyond everything that was seen of its ledger: otherwise a whole history,
    played again from its first position, would explain itself.
    """
    told = {_what(update) for update in updates}
    expected: set[str] = set()
    newest: dict[OrganizationId, int] = {}
    for organization, entries in _in_order(claimed, ledger).items():
        markers = {_what(Touch(entry.marker(ANY_TIME))) for entry in entries}
        *before, newest_head = map(_what, entries[-1].head_updates(since=entries[0]))
        if entries[0].position <= watched.get(organization, 0):
            continue
        if told.issuperset((*markers, *before)):
            expected |= {*markers, *before, newest_head}
            expected.update(_what(update) for entry in entries for update in entry.updates)
            newest[organization] = entries[-1].position
    return Arrival([each for each in updates if _what(each) not in expected], newest)


def _in_order(claimed: Claim, ledger: Mapping[Place, Entry]) -> dict[OrganizationId, list[Entry]]:
    """Return the entries that the ledgers have of what is claimed, each once, by organization."""
    by_organization: dict[OrganizationId, list[Entry]] = {}
    for place in sorted(set(claimed.places) & ledger.keys()):
        by_organization.setdefault(place[0], []).append(ledger[place])
    return by_organization


def _what(update: Update) -> str:
    """What an update does, in the same words wherever it is told."""
    relationship = update.relationship
    if isinstance(update, Revocation):
        return f"DELETE {relationship.identity}"
    # a marker's end is counted from whenever it was sent
    return f"TOUCH {relationship.identity if is_marker(relationship) else relationship}"


def by_tenant(updates: Iterable[Update], unreadable: Iterable[str] = ()) -> dict[str, list[str]]:
    """Return what is told of each tenant's own: updates, and texts that nobody can read."""
    own: dict[str, list[str]] = {}
    for update in updates:
        own.setdefault(tenant(update), []).append(str(update))
    for text in unreadable:
        own.setdefault(_owner(text.partition("#")[0].partition(":")[2]), []).append(text)
    return own


def tenant(update: Update) -> str:
    """Return whose resource an update is about."""
    return _owner(update.relationship.resource.id)


def _owner(resource_id: str) -> str:
    return resource_id.partition("/")[0]
