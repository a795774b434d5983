"""Find the roles of an organization: the catalog's and its own."""

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
"""When the catalog's roles were made, for their place in a list."""


class RoleNotFound(NotFound):
    """{organization} has no role {role!r}."""


@dataclass(frozen=True)
class Found:
    """A role and who holds it."""

    role: Role | CustomRole
    holders: Holders

    @property
    def key(self) -> tuple[datetime, str]:
        """Its place in a list."""
        made = self.role.created_at if isinstance(self.role, CustomRole) else BEFORE_ALL
        return made, self.role.id


async def find_own(
    session: AsyncSession, organization: OrganizationId, role: RoleId
) -> CustomRole | None:
    """Return a role of the organization's own, or None."""
    return await session.get(CustomRole, (organization, role)) if is_role_id(role) else None


async def get_role(
    session: AsyncSession,
    catalog: Catalog,
    organization: OrganizationId,
    role: RoleId,
    now: datetime,
) -> Found:
    """Return a role of either kind; raises RoleNotFound."""
    known = catalog.roles.get(role) or await find_own(session, organization, role)
    if known is None:
        raise RoleNotFound(role=role, organization=organization)
    return Found(known, (await holders_of(session, organization, [role], now))[role])


async def list_roles(
    session: AsyncSession,
    catalog: Catalog,
    organization: OrganizationId,
    after: tuple[datetime, RoleId] | None,
    limit: int,
    now: datetime,
) -> list[Found]:
    """Return at most `limit` roles: the catalog's in its order, then the organization's by age."""
    roles: list[Role | CustomRole] = list(islice(_predefined(catalog, after), limit))
    if len(roles) < limit:
        own = (
            select(CustomRole)
            .where(CustomRole.organization_id == organization)
            .order_by(CustomRole.created_at, CustomRole.id)
            .limit(limit - len(roles))
        )
        if after is not None:
            own = own.where(tuple_(CustomRole.created_at, CustomRole.id) > after)
        roles.extend(await session.scalars(own))
    held = await holders_of(session, organization, [RoleId(role.id) for role in roles], now)
    return [Found(role, held[RoleId(role.id)]) for role in roles]


def _predefined(catalog: Catalog, after: tuple[datetime, RoleId] | None) -> Iterator[Role]:
    """Yield those that come after a place in the list."""
    if after is not None and (after[0] != BEFORE_ALL or after[1] not in catalog.roles):
        return
    reached = after is None
    for role in catalog.roles.values():
        if reached:
            yield role
        reached = reached or (after is not None and role.id == after[1])
