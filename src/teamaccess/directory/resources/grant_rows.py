"""The rows of grants: read for many objects at once, and deleted together."""

from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    BindParameter,
    Text,
    any_,
    bindparam,
    delete,
    func,
    literal,
    select,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from teamaccess.changes import OrganizationChange
from teamaccess.directory.resources.find import ResourceKey, find_resources
from teamaccess.storage import (
    Grant,
    HolderKind,
    Membership,
    OrganizationId,
    Resource,
    Team,
    TeamId,
    UserId,
    is_local_id,
)


def _texts(name: str) -> BindParameter[Any]:
    return bindparam(name, type_=ARRAY(Text))


_here = bindparam("organization", type_=Text)
GRANTS_ON = (
    select(Grant)
    .where(
        Grant.organization_id == _here,
        tuple_(Grant.type, Grant.resource_id).in_(
            select(func.unnest(_texts("types")), func.unnest(_texts("ids")))
        ),
    )
    .order_by(Grant.action, Grant.holder_kind, Grant.holder)
)
_named_grants = select(
    *(func.unnest(_texts(name)) for name in ("types", "ids", "actions", "kinds", "holders"))
)
DELETE = (
    delete(Grant)
    .where(
        Grant.organization_id == _here,
        tuple_(Grant.type, Grant.resource_id, Grant.action, Grant.holder_kind, Grant.holder).in_(
            _named_grants
        ),
    )
    .execution_options(synchronize_session=False)
)


class GrantKey(NamedTuple):
    """An action or a role on an object, and the member or team that gets it."""

    action: str
    kind: HolderKind
    holder: str

    def __str__(self) -> str:
        return f"{self.action} {self.kind}:{self.holder}"


GrantEnds = Mapping[GrantKey, datetime | None]
"""Grants with their ends; None for a grant without one."""


@dataclass(frozen=True)
class KnownGrants:
    """What PostgreSQL stores about the objects and the holders that a change of grants names."""

    resources: Mapping[ResourceKey, Resource]
    rows: Mapping[ResourceKey, Mapping[GrantKey, Grant]]
    """All grants on the objects, including those that have ended and are not swept yet."""
    members: Set[str]
    """Which of the named users are members."""
    teams: Set[str]
    """Which of the named teams exist."""

    def on(self, key: ResourceKey) -> Mapping[GrantKey, Grant]:
        """Return the grants on an object."""
        return self.rows.get(key, {})

    def ends_on(self, key: ResourceKey) -> GrantEnds:
        """Return the ends of the grants on an object."""
        return {grant: row.expires_at for grant, row in self.on(key).items()}

    def present(self, key: ResourceKey, now: datetime) -> GrantEnds:
        """Return the grants on an object that are in force, with their ends."""
        return {grant: row.expires_at for grant, row in self.on(key).items() if row.active(now)}


async def grants_on(
    session: AsyncSession, organization: OrganizationId, key: ResourceKey
) -> Sequence[Grant]:
    """Return the grants on an object, including those that have ended and are not swept yet."""
    rows = await session.scalars(
        select(Grant)
        .where(
            Grant.organization_id == organization,
            Grant.type == key[0],
            Grant.resource_id == key[1],
        )
        .order_by(Grant.action, Grant.holder_kind, Grant.holder)
    )
    return rows.all()


async def read_grants(
    change: OrganizationChange, keys: Collection[ResourceKey], holders: Collection[GrantKey]
) -> KnownGrants:
    """Return what PostgreSQL stores about the objects and holders, with a fixed number of statements."""
    organization, session = change.organization, change.session
    valid = [key for key in keys if key[0] in change.catalog.types and is_local_id(key[1])]
    resources = await find_resources(session, organization, valid)
    rows: dict[ResourceKey, dict[GrantKey, Grant]] = {}
    named = {
        "organization": organization,
        "types": [type for type, _ in valid],
        "ids": [id for _, id in valid],
    }
    for row in await session.scalars(GRANTS_ON, named):
        rows.setdefault((row.type, row.resource_id), {})[grant_key_of(row)] = row
    ids = {grant.kind: set[str]() for grant in holders}
    for grant in holders:
        if is_local_id(grant.holder):
            ids[grant.kind].add(grant.holder)
    members = await _present(change, Membership.user_id, ids.get(HolderKind.USER))
    teams = await _present(change, Team.id, ids.get(HolderKind.TEAM))
    return KnownGrants(resources, rows, members, teams)


def grant_key_of(row: Grant) -> GrantKey:
    """Return the action or role, and the holder of a row."""
    return GrantKey(row.action, HolderKind(row.holder_kind), row.holder)


async def _present(
    change: OrganizationChange,
    column: InstrumentedAttribute[UserId] | InstrumentedAttribute[TeamId],
    ids: Collection[str] | None,
) -> frozenset[str]:
    """Return which of the ids the organization has in the column."""
    if not ids:
        return frozenset()
    rows = await change.session.scalars(
        select(column).where(
            column.class_.organization_id == change.organization,
            column == any_(literal(sorted(ids), ARRAY(Text))),
        )
    )
    return frozenset(map(str, rows))


async def delete_grants(change: OrganizationChange, rows: Sequence[Grant]) -> None:
    """Delete the grants with one statement."""
    if not rows:
        return
    await change.session.execute(
        DELETE,
        {
            "organization": change.organization,
            "types": [row.type for row in rows],
            "ids": [row.resource_id for row in rows],
            "actions": [row.action for row in rows],
            "kinds": [row.holder_kind for row in rows],
            "holders": [row.holder for row in rows],
        },
    )
    for row in rows:
        change.session.expunge(row)
