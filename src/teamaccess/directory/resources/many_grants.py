"""Grants on many objects in one change, all or none."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from teamaccess.access.authorize import authorize
from teamaccess.access.object_grants import GrantsOnObject, prefetch_held_on
from teamaccess.changes import OrganizationChange
from teamaccess.common.errors import TeamaccessError, naming_item
from teamaccess.directory.resources.find import ResourceKey
from teamaccess.directory.resources.grant_rows import (
    GrantEnds,
    GrantKey,
    KnownGrants,
    read_grants,
)
from teamaccess.directory.resources.grants import (
    GrantName,
    GrantTwice,
    WantedGrants,
    authorize_grants,
    gift_of_grants,
    write_grants,
)

Numbered = Sequence[tuple[int, "GrantOperation"]]


@dataclass(frozen=True)
class GrantOperation:
    """A grant to add or to remove."""

    on: ResourceKey
    grant: GrantKey
    until: datetime | None = None
    remove: bool = False
    is_role: bool = False
    """Whether the request names a role and not an action."""

    @property
    def name(self) -> GrantName:
        """The action or the role, as the request names it."""
        return GrantName(self.grant.action, self.is_role)

    def result(self, before: GrantEnds) -> "GrantResult":
        """Return what became of the grant."""
        if self.remove:
            held = self.grant in before
            return GrantResult.REMOVED if held else GrantResult.ALREADY_REMOVED
        same = self.grant in before and before[self.grant] == self.until
        return GrantResult.ALREADY_GRANTED if same else GrantResult.GRANTED


class GrantResult(StrEnum):
    """What became of a grant. If it was so already, nothing has changed."""

    GRANTED = "granted"
    ALREADY_GRANTED = "already_granted"
    REMOVED = "removed"
    ALREADY_REMOVED = "already_removed"


async def change_grants(
    change: OrganizationChange, operations: Sequence[GrantOperation]
) -> list[GrantResult]:
    """Carry out all operations or none; return the result of each.

    Every refusal names the item. Raises what `authorize_grants` does, GrantTwice and LimitReached.
    """
    await authorize(change, "register_resources")
    by_object: dict[ResourceKey, list[tuple[int, GrantOperation]]] = defaultdict(list)
    for number, operation in enumerate(operations, start=1):
        with naming_item(number):
            if any(operation.grant == other.grant for _, other in by_object[operation.on]):
                raise GrantTwice(grant=operation.grant)
        by_object[operation.on].append((number, operation))
    known = await read_grants(change, by_object, [operation.grant for operation in operations])
    results, objects = {}, []
    for key, numbered in by_object.items():
        before = known.present(key, change.now)
        for number, operation in numbered:
            results[number] = operation.result(before)
        wanted = _after(before, numbered)
        objects.append(WantedGrants(key, wanted, [each.name for _, each in numbered]))
    await prefetch_held_on(change, _on_objects(change, known, objects))
    for each in objects:
        await _authorize_items(change, known, each, by_object[each.key])
    with naming_item(_last_added(operations)):
        await write_grants(change, known, objects)
    return [results[number] for number in range(1, len(operations) + 1)]


def _after(before: GrantEnds, numbered: Numbered) -> GrantEnds:
    """Return the grants on one object after all operations on it."""
    after = dict(before)
    for _, operation in numbered:
        if operation.remove:
            after.pop(operation.grant, None)
        else:
            after[operation.grant] = operation.until
    return after


def _on_objects(
    change: OrganizationChange, known: KnownGrants, objects: Iterable[WantedGrants]
) -> Iterator[GrantsOnObject]:
    """Yield what changes on each object that exists."""
    for each in objects:
        resource = known.resources.get(each.key)
        if resource is not None:
            gift = gift_of_grants(change, resource, known.on(each.key), each.wanted)
            if gift.grants is not None:
                yield gift.grants


async def _authorize_items(
    change: OrganizationChange, known: KnownGrants, grants: WantedGrants, numbered: Numbered
) -> None:
    """Authorize the items about one object together. If they are refused, find the item at fault.

    The search compares each item with the rows that were read before, so it needs no statement.
    """
    try:
        with naming_item(numbered[0][0]):
            await authorize_grants(change, known, grants)
    except TeamaccessError:
        rows = known.on(grants.key)
        for number, operation in numbered if len(numbered) > 1 else ():
            grant = operation.grant
            own = {grant: rows[grant]} if grant in rows else {}
            wanted = {} if operation.remove else {grant: operation.until}
            with naming_item(number):
                alone = WantedGrants(grants.key, wanted, [operation.name])
                await authorize_grants(change, known, alone, own)
        raise


def _last_added(operations: Sequence[GrantOperation]) -> int:
    """Return the number of the last item that adds a grant. It is named if a limit is exceeded."""
    added = [number for number, each in enumerate(operations, start=1) if not each.remove]
    return max(added, default=1)
