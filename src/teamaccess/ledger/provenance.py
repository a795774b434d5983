"""Whether a write that SpiceDB tells of is what the ledgers say, or somebody going round them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from teamaccess.ledger.entry import Entry
from teamaccess.ledger.markers import is_marker
from teamaccess.models import OrganizationId
from teamaccess.relationships import Revocation, Touch, Update

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


class Filled(Claimed):
    """An organization that a write says it fills from its rows, as at this position."""

    imported: str = ""
    """The transaction whose imports end with this write, if it is the last one."""


class Gone(msgspec.Struct):
    """A tenant that a write says it removes."""

    organization: str


class Claim(msgspec.Struct):
    """What a write says of itself; one that claims nothing cannot be ours."""

    changes: list[Claimed] = []
    """Positions in their turn."""
    ahead: list[Claimed] = []
    """Positions whose revocations could not wait for their turn."""

    rebuild: list[Filled] = []
    """Organizations that are filled from their rows."""
    purge: list[Gone] = []
    """Tenants that no ledger knows, and that are removed."""

    @property
    def places(self) -> list[Place]:
        """Every position named."""
        return [each.place for each in (*self.changes, *self.ahead)]


def claim(metadata: Mapping[str, Any]) -> Claim:
    """Return what the metadata of a write claims; nothing where it cannot be read."""
    try:
        return msgspec.convert(metadata.get("teamaccess", {}), Claim, strict=False)
    except msgspec.ValidationError:
        return Claim()


def unexplained(
    updates: Sequence[Update], claimed: Claim, ledger: Mapping[Place, Entry]
) -> list[Update]:
    """Return the updates that the claimed positions do not account for.

    A position in its turn comes with its marker and takes away the head before it, which is there once:
    an old position's updates cannot be passed off again as what they once were. (Its marker alone would
    not do. Nobody can create it twice, but whoever touches it with another end looks the same here.)
    """
    told = {_what(update) for update in updates}
    expected: set[str] = set()
    arrived = [ledger[each.place] for each in claimed.changes if each.place in ledger]
    first = {each.organization: each for each in sorted(arrived, key=_position, reverse=True)}
    for entry in arrived:
        marker = _what(Touch(entry.marker(ANY_TIME)))
        *before, newest = map(_what, entry.head_updates(since=first[entry.organization]))
        expected.add(marker)
        if told.issuperset((marker, *before)):
            expected.update((*before, newest, *map(_what, entry.updates)))
    for entry in (ledger[each.place] for each in claimed.ahead if each.place in ledger):
        expected.update(_what(update) for update in entry.updates if isinstance(update, Revocation))
    return [update for update in updates if _what(update) not in expected]


def taken_at_no_word(updates: Iterable[Update], claimed: Claim) -> set[str]:
    """Return the tenants that a write says it rebuilds or removes, as far as it concerns them.

    No entry of a ledger can tell whether that is so: only comparing them with their rows can.
    """
    named = {each.organization for each in claimed.rebuild}
    named |= {each.organization for each in claimed.purge}
    return named & {tenant(update) for update in updates}


def importable(updates: Sequence[Update], metadata: Mapping[str, Any]) -> set[str]:
    """Return the tenants that a write may have imported: nobody says whose it is, and it only gives."""
    if metadata or any(isinstance(update, Revocation) for update in updates):
        return set()
    return {tenant(update) for update in updates}


def _position(entry: Entry) -> int:
    return entry.position


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
