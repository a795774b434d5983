"""Grants on many objects in one change, all or none."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from teamaccess.access.authorize import authorize
from teamaccess.changes import OrganizationChange
from teamaccess.common.errors import TeamaccessError, naming_item
from teamaccess.directory.resources.find import Key
from teamaccess.directory.resources.grants import (
    GrantEnds,
    GrantKey,
    GrantName,
    GrantTwice,
    present_grants,
    replace_grants,
)

Numbered = Sequence[tuple[int, "GrantOperation"]]


@dataclass(frozen=True)
class GrantOperation:
    """A grant to add or to remove."""

    on: Key
    grant: GrantKey
    until: datetime | None = None
    remove: bool = False
    is_role: bool = False
    """Whether the request names a role and not an action."""

    @property
    def name(self) -> GrantName:
        """The action or the role, as the request names it."""
        return GrantName(self.grant.action, self.is_role)

    def applied_to(self, grants: GrantEnds) -> GrantEnds:
        """Return the grants on the object after the operation."""
        if self.remove:
            return {grant: end for grant, end in grants.items() if grant != self.grant}
        return {**grants, self.grant: self.until}

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

    Every refusal names the item. Raises what `replace_grants` does, and GrantTwice.
    """
    await authorize(change, "register_resources")
    by_object: dict[Key, list[tuple[int, GrantOperation]]] = defaultdict(list)
    for number, operation in enumerate(operations, start=1):
        with naming_item(number):
            if any(operation.grant == other.grant for _, other in by_object[operation.on]):
                raise GrantTwice(grant=operation.grant)
        by_object[operation.on].append((number, operation))
    results = {}
    for key, numbered in by_object.items():
        before = await present_grants(change, key)
        for number, operation in numbered:
            results[number] = operation.result(before)
        await _replace(change, key, before, numbered)
    return [results[number] for number in range(1, len(operations) + 1)]


async def _replace(
    change: OrganizationChange, key: Key, before: GrantEnds, numbered: Numbered
) -> None:
    """Change the grants on one object at once. If that is refused, find the item that is refused."""
    wanted = before
    for _, operation in numbered:
        wanted = operation.applied_to(wanted)
    try:
        with naming_item(numbered[0][0]):
            await replace_grants(change, key, wanted, [each.name for _, each in numbered])
    except TeamaccessError:
        for number, operation in numbered if len(numbered) > 1 else ():
            with naming_item(number):
                await replace_grants(change, key, operation.applied_to(before), [operation.name])
        raise
