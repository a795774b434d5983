"""Register and remove objects, one or a thousand in one change.

Registering gives nobody anything that they do not have: it records the object's organization and creator.
"""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from msgspec import UNSET
from sqlalchemy import (
    ARRAY,
    BindParameter,
    Table,
    Text,
    bindparam,
    delete,
    func,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from teamaccess.access.authorize import authorize
from teamaccess.changes import OrganizationChange
from teamaccess.changes.caps import refuse_full
from teamaccess.changes.events import record
from teamaccess.changes.events.resources import (
    ResourceRegistered,
    ResourcesChanged,
    ResourceUnregistered,
)
from teamaccess.common.errors import Conflict, Invalid, naming_item
from teamaccess.directory.resources.creators import (
    creator_of,
    refuse_other_creator,
    refuse_unknown_creators,
)
from teamaccess.directory.resources.find import (
    ResourceKey,
    UnknownResource,
    find_resources,
    get_resource,
    type_of,
)
from teamaccess.storage import (
    Grant,
    OrganizationId,
    Resource,
    ResourceId,
    UserId,
    is_local_id,
)
from teamaccess.storage.base import suggest_local_id


class InvalidResourceId(Invalid):
    """The id has a form that SpiceDB does not take."""

    message = (
        "{id!r} is not a valid resource id. Use 1 to 128 characters of A-Z, a-z, 0-9, _ and hyphen, "
        "because SpiceDB takes no dots in ids. For example: {example!r}."
    )


class ResourceTwice(Invalid):
    """A batch names the same resource twice, so the order of its operations would matter."""

    message = "{resource} is listed twice. List each resource once."


class ResourceRemoved(Conflict):
    """The resource was removed. Its id is never registered again, because old grants must not return."""

    message = "{resource} was removed, and its id can't be registered again. Choose another id."


@dataclass(frozen=True)
class ResourceOperation:
    """An object that is to be registered, or removed."""

    type: str
    id: ResourceId
    creator: UserId | None = None
    remove: bool = False

    @property
    def key(self) -> ResourceKey:
        """The object's name inside the organization."""
        return self.type, self.id


class ResourceResult(StrEnum):
    """What became of an object. If it was so already, nothing has changed."""

    REGISTERED = "registered"
    ALREADY_REGISTERED = "already_registered"
    REMOVED = "removed"
    ALREADY_REMOVED = "already_removed"


async def register(
    change: OrganizationChange, type: str, id: ResourceId, creator: UserId | None
) -> Resource:
    """Register an object, and return it; one that is registered in the same way stays as it is.

    Raises what `apply` does.
    """
    operation = ResourceOperation(type, id, creator)
    [result] = await _apply(change, [operation])
    resource = await get_resource(
        change.session, change.catalog, change.organization, operation.key
    )
    if result is ResourceResult.REGISTERED:
        await record(
            change,
            ResourceRegistered(creator=resource.creator or UNSET),
            change.organization,
            str(resource.reference),
        )
    return resource


async def remove_resource(change: OrganizationChange, type: str, id: ResourceId) -> None:
    """Remove an object with everything that was granted on it; its id is never registered again.

    Raises what `apply` does.
    """
    [result] = await _apply(change, [ResourceOperation(type, id, remove=True)])
    if result is ResourceResult.REMOVED:
        row = Resource(organization_id=change.organization, type=type, id=id)
        await record(change, ResourceUnregistered(), change.organization, str(row.reference))


async def apply(
    change: OrganizationChange, operations: Sequence[ResourceOperation]
) -> list[ResourceResult]:
    """Carry out all operations or none; return the result of each.

    Raises what `authorize` does, UnknownResourceType, InvalidResourceId, ResourceTwice, ResourceRemoved,
    UnknownResource for the removal of an object that was never registered, UnknownMember, LimitReached,
    and what `creator_of` and `refuse_other_creator` do.
    """
    results = await _apply(change, operations)
    registered, removed = map(results.count, (ResourceResult.REGISTERED, ResourceResult.REMOVED))
    if registered or removed:
        await record(
            change,
            ResourcesChanged(registered=registered, removed=removed),
            change.organization,
            change.organization,
        )
    return results


async def _apply(
    change: OrganizationChange, operations: Sequence[ResourceOperation]
) -> list[ResourceResult]:
    await authorize(change, "register_resources")
    checked, seen = [], set[ResourceKey]()
    for number, operation in enumerate(operations, start=1):
        with _naming(number, operations):
            checked.append(_checked(change, operation))
            if operation.key in seen:
                raise ResourceTwice(resource=f"{operation.type}:{operation.id}")
            seen.add(operation.key)
    operations = checked
    keys = [operation.key for operation in operations]
    rows = await find_resources(change.session, change.organization, keys)
    results = []
    for number, operation in enumerate(operations, start=1):
        with _naming(number, operations):
            row = rows.get(operation.key)
            results.append(_result(change.organization, operation, row))
    by_result: dict[ResourceResult, list[ResourceOperation]] = defaultdict(list)
    for operation, result in zip(operations, results, strict=True):
        by_result[result].append(operation)
    await _register(change, by_result[ResourceResult.REGISTERED])
    await _remove(change, by_result[ResourceResult.REMOVED])
    return results


def _checked(change: OrganizationChange, operation: ResourceOperation) -> ResourceOperation:
    """Return the operation with the object's creator, if there can be such an object."""
    type, id = operation.type, operation.id
    kind = type_of(change.catalog, type)
    if operation.remove:
        if not is_local_id(id):
            raise UnknownResource(organization=change.organization, type=type, resource=id)
        return operation
    if not is_local_id(id):
        raise InvalidResourceId(id=id, example=suggest_local_id(id))
    return ResourceOperation(type, id, creator_of(change.attribution, kind, operation.creator))


def _naming(number: int, operations: Sequence[ResourceOperation]) -> AbstractContextManager[None]:
    """Name the item in refusals, unless it is the only one."""
    return naming_item(number) if len(operations) > 1 else nullcontext()


def _result(
    organization: OrganizationId, operation: ResourceOperation, row: Resource | None
) -> ResourceResult:
    """Return what an operation does to an object."""
    if row is None:
        if operation.remove:
            raise UnknownResource(
                organization=organization, type=operation.type, resource=operation.id
            )
        return ResourceResult.REGISTERED
    is_removed = row.removed_at is not None
    if operation.remove:
        return ResourceResult.ALREADY_REMOVED if is_removed else ResourceResult.REMOVED
    if is_removed:
        raise ResourceRemoved(resource=row.reference)
    refuse_other_creator(row, operation.creator)
    return ResourceResult.ALREADY_REGISTERED


async def _register(change: OrganizationChange, new: Sequence[ResourceOperation]) -> None:
    creators = {operation.creator for operation in new if operation.creator is not None}
    await refuse_unknown_creators(change, creators)
    if new:
        present = select(literal(1)).where(
            Resource.organization_id == change.organization, Resource.removed_at.is_(None)
        )
        await refuse_full(change, "objects", present, adding=len(new))
        await change.session.execute(
            REGISTER,
            {
                "organization": change.organization,
                "now": change.now,
                "types": [operation.type for operation in new],
                "ids": [operation.id for operation in new],
                "creators": [operation.creator for operation in new],
            },
        )
    for operation in new:
        row = Resource(organization_id=change.organization, type=operation.type, id=operation.id)
        change.registered[row.reference] = operation.creator


async def _remove(change: OrganizationChange, removed: Sequence[ResourceOperation]) -> None:
    for type in sorted({operation.type for operation in removed}):
        keys = {
            "organization": change.organization,
            "kind": type,
            "ids": [operation.id for operation in removed if operation.type == type],
            "now": change.now,
        }
        await change.session.execute(DELETE_GRANTS, keys)
        await change.session.execute(REMOVE, keys)


def _texts(name: str) -> BindParameter[Any]:
    return bindparam(name, type_=ARRAY(Text))


_now = bindparam("now", type_=Resource.registered_at.type)
_here = bindparam("organization", type_=Text)
_kind = bindparam("kind", type_=Text)
_new = (
    func.unnest(_texts("types"), _texts("ids"), _texts("creators"))
    .table_valued("type", "id", "creator")
    .render_derived("new")
)

# One statement for all objects, because PostgreSQL writes one note for each statement.
REGISTER = insert(cast(Table, Resource.__table__)).from_select(
    ["organization_id", "type", "id", "creator", "registered_at"],
    select(_here, _new.c.type, _new.c.id, _new.c.creator, _now),
)
REMOVE = (
    update(Resource)
    .where(
        Resource.organization_id == _here,
        Resource.type == _kind,
        Resource.id == func.any(_texts("ids")),
    )
    .values(removed_at=_now)
    .execution_options(synchronize_session=False)
)
DELETE_GRANTS = (
    delete(Grant)
    .where(
        Grant.organization_id == _here,
        Grant.type == _kind,
        Grant.resource_id == func.any(_texts("ids")),
    )
    .execution_options(synchronize_session=False)
)
"""No grant outlives its object."""
