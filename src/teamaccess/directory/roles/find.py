"""Find the roles of an organization: the catalog's and its custom roles."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.catalog import Catalog, Role
from teamaccess.common.errors import NotFound
from teamaccess.directory.roles.holders import Holders, holders_of
from teamaccess.storage import CustomRole, OrganizationId, RoleId, is_role_id

BEFORE_ALL = datetime(1970, 1, 1, tzinfo=UTC)
"""The creation time of the catalog's roles, which puts them first in a list."""


class RoleNotFound(NotFound):
    """The organization has no such role."""

    message = "{organization} has no role {role!r}."


@dataclass(frozen=True)
class RoleEntry:
    """A role as a list shows it, with the number of its holders."""

    role: Role | CustomRole
    holders: Holders

    @property
    def key(self) -> tuple[datetime, str]:
        """The key that orders a list."""
        created_at = self.role.created_at if isinstance(self.role, CustomRole) else BEFORE_ALL
        return created_at, self.role.id


async def find_custom_role(
    session: AsyncSession, organization: OrganizationId, role: RoleId
) -> CustomRole | None:
    """Return a custom role, or None."""
    if not is_role_id(role):
        return None
    return await session.get(CustomRole, (organization, role), populate_existing=True)


async def get_role(
    session: AsyncSession,
    catalog: Catalog,
    organization: OrganizationId,
    role: RoleId,
    now: datetime,
) -> RoleEntry:
    """Return a role of either kind; raises RoleNotFound."""
    found = catalog.roles.get(role) or await find_custom_role(session, organization, role)
    if found is None:
        raise RoleNotFound(role=role, organization=organization)
    return RoleEntry(found, (await holders_of(session, organization, [role], now))[role])


async def list_roles(
    session: AsyncSession,
    catalog: Catalog,
    organization: OrganizationId,
    after: tuple[datetime, RoleId] | None,
    limit: int,
    now: datetime,
) -> list[RoleEntry]:
    """Return at most `limit` roles: the catalog's in its order, then custom roles, the oldest first."""
    roles: list[Role | CustomRole] = list(islice(_predefined(catalog, after), limit))
    if len(roles) < limit:
        custom = (
            select(CustomRole)
            .where(CustomRole.organization_id == organization)
            .order_by(CustomRole.created_at, CustomRole.id)
            .limit(limit - len(roles))
        )
        if after is not None:
            custom = custom.where(tuple_(CustomRole.created_at, CustomRole.id) > after)
        roles.extend(await session.scalars(custom))
    held = await holders_of(session, organization, [RoleId(role.id) for role in roles], now)
    return [RoleEntry(role, held[RoleId(role.id)]) for role in roles]


def _predefined(catalog: Catalog, after: tuple[datetime, RoleId] | None) -> Iterator[Role]:
    """Yield the catalog's roles that come after a key in the list."""
    if after is not None and (after[0] != BEFORE_ALL or after[1] not in catalog.roles):
        return
    reached = after is None
    for role in catalog.roles.values():
        if reached:
            yield role
        reached = reached or (after is not None and role.id == after[1])
