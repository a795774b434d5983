"""Register and remove objects, one or a thousand in one change.

Whoever may register hands nobody anything that they would not have: an object only says whose it is.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

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
from teamaccess.changes import Change
from teamaccess.changes.events import record
from teamaccess.common.errors import Conflict, Invalid
from teamaccess.directory.caps import refuse_full
from teamaccess.directory.resources.creators import creator_of, refuse_another, refuse_strangers
from teamaccess.directory.resources.find import (
    Key,
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


class InvalidResourceId(Invalid):
    """{id!r} cannot be the id of an object: 1 to 64 characters of A-Z, a-z, 0-9, _ and hyphen."""


class ResourceTwice(Invalid):
    """{resource} is named twice; say once what shall become of it."""


class ResourceRemoved(Conflict):
    """{resource} was removed, and the id of a removed object is never registered again."""


@dataclass(frozen=True)
class ResourceOperation:
    """What shall become of an object: that it is registered, or that it is removed."""

    type: str
    id: ResourceId
    creator: UserId | None = None
    remove: bool = False

    @property
    def key(self) -> Key:
        """The object's name inside the organization."""
        return self.type, self.id


class ResourceResult(StrEnum):
    """What has become of an object; what was so already has changed nothing."""

    REGISTERED = "registered"
    ALREADY_REGISTERED = "already_registered"
    REMOVED = "removed"
    ALREADY_REMOVED = "already_removed"


async def register(
    change: Change,
    actor: UserId,
    organization: OrganizationId,
    type: str,
    id: ResourceId,
    creator: UserId | None,
) -> Resource:
    """Register an object, and return it; one that is registered just so stays as it is.

    Raises what `order` does.
    """
    one = ResourceOperation(type, id, creator)
    [outcome] = await _carry_out(change, actor, organization, [one])
    found = await get_resource(change.session, change.catalog, organization, one.key)
    if outcome is ResourceResult.REGISTERED:
        about = {"creator": found.creator} if found.creator else {}
        await record(change, "resource_registered", organization, str(found.reference), **about)
    return found


async def remove(
    change: Change, actor: UserId, organization: OrganizationId, type: str, id: ResourceId
) -> None:
    """Remove an object with everything that was granted on it; its id is never registered again.

    Raises what `order` does.
    """
    one = ResourceOperation(type, id, remove=True)
    [outcome] = await _carry_out(change, actor, organization, [one])
    if outcome is ResourceResult.REMOVED:
        about = str(Resource(organization_id=organization, type=type, id=id).reference)
        await record(change, "resource_removed", organization, about)


async def order(
    change: Change, actor: UserId, organization: OrganizationId, orders: Sequence[ResourceOperation]
) -> list[ResourceResult]:
    """Carry out all orders or none, and return what became of each.

    Raises UnknownResourceType, InvalidResourceId, ResourceTwice, ResourceRemoved, UnknownResource for
    the removal of what was never there, LimitReached, and what `creators` says.
    """
    outcomes = await _carry_out(change, actor, organization, orders)
    registered, removed = map(outcomes.count, (ResourceResult.REGISTERED, ResourceResult.REMOVED))
    if registered or removed:
        about = f"organization:{organization}"
        told = {"registered": registered, "removed": removed}
        await record(change, "resources_changed", organization, about, None, **told)
    return outcomes


async def _carry_out(
    change: Change, actor: UserId, organization: OrganizationId, orders: Sequence[ResourceOperation]
) -> list[ResourceResult]:
    await authorize(change, actor, organization, "register_resources")
    orders = [_sensible(change, organization, each) for each in orders]
    _refuse_twice(orders)
    known = await find_resources(change.session, organization, [each.key for each in orders])
    outcomes = [_judge(organization, each, known.get(each.key)) for each in orders]
    by_outcome: dict[ResourceResult, list[ResourceOperation]] = defaultdict(list)
    for each, outcome in zip(orders, outcomes, strict=True):
        by_outcome[outcome].append(each)
    await _register(change, organization, by_outcome[ResourceResult.REGISTERED])
    await _remove(change, organization, by_outcome[ResourceResult.REMOVED])
    return outcomes


def _sensible(
    change: Change, organization: OrganizationId, wanted: ResourceOperation
) -> ResourceOperation:
    """Return the order with the creator that it stands for, if there can be such an object."""
    kind = type_of(change.catalog, wanted.type)
    if wanted.remove:
        if not is_local_id(wanted.id):
            raise UnknownResource(organization=organization, type=wanted.type, resource=wanted.id)
        return wanted
    if not is_local_id(wanted.id):
        raise InvalidResourceId(id=wanted.id)
    return ResourceOperation(
        wanted.type, wanted.id, creator_of(change.attribution, kind, wanted.creator), remove=False
    )


def _refuse_twice(orders: Iterable[ResourceOperation]) -> None:
    seen: set[Key] = set()
    for each in orders:
        if each.key in seen:
            raise ResourceTwice(resource=f"{each.type}:{each.id}")
        seen.add(each.key)


def _judge(
    organization: OrganizationId, wanted: ResourceOperation, known: Resource | None
) -> ResourceResult:
    """Return what becomes of an object under an order."""
    if known is None:
        if wanted.remove:
            raise UnknownResource(organization=organization, type=wanted.type, resource=wanted.id)
        return ResourceResult.REGISTERED
    if wanted.remove:
        return (
            ResourceResult.ALREADY_REMOVED
            if known.removed_at is not None
            else ResourceResult.REMOVED
        )
    if known.removed_at is not None:
        raise ResourceRemoved(resource=known.reference)
    refuse_another(known, wanted.creator)
    return ResourceResult.ALREADY_REGISTERED


async def _register(
    change: Change, organization: OrganizationId, new: Sequence[ResourceOperation]
) -> None:
    creators = {each.creator for each in new if each.creator is not None}
    await refuse_strangers(change, organization, creators)
    if new:
        present = select(literal(1)).where(
            Resource.organization_id == organization, Resource.removed_at.is_(None)
        )
        await refuse_full(change, organization, "objects", present, adding=len(new))
        await change.session.execute(
            REGISTER,
            {
                "organization": organization,
                "now": change.now,
                "types": [each.type for each in new],
                "ids": [each.id for each in new],
                "creators": [each.creator for each in new],
            },
        )


async def _remove(
    change: Change, organization: OrganizationId, gone: Sequence[ResourceOperation]
) -> None:
    for type in sorted({each.type for each in gone}):
        ids = [each.id for each in gone if each.type == type]
        names = {"organization": organization, "kind": type, "ids": ids, "now": change.now}
        await change.session.execute(TAKE_BACK, names)
        await change.session.execute(REMOVE, names)


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

# One statement for all of them: PostgreSQL keeps a note for each.
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
TAKE_BACK = (
    delete(Grant)
    .where(
        Grant.organization_id == _here,
        Grant.type == _kind,
        Grant.resource_id == func.any(_texts("ids")),
    )
    .execution_options(synchronize_session=False)
)
"""No grant outlives its object."""
