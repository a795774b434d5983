"""What a role of an organization's own may be called in the graph."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.catalog import Catalog
from teamaccess.common.errors import Conflict, Invalid
from teamaccess.storage import CustomRole, RoleId, is_role_id

NOBODY = "none"
"""What says, where a role is expected, that it is to be none."""


class InvalidRoleId(Invalid):
    """{id!r} cannot be the id of a role: 3 to 64 characters of a-z, 0-9 and _, first a letter, last no _."""  # noqa: E501 - a sentence is one line


class RoleIdReserved(Conflict):
    """The id {id} already means something in every organization; choose another."""


class RoleIdsTaken(Conflict):
    """Organizations have roles of their own with the ids {roles}, so the catalog cannot call roles of everybody's so: choose other ids in it."""  # noqa: E501 - a sentence is one line


def refuse_bad_id(catalog: Catalog, id: str) -> RoleId:
    """Return the id; raises InvalidRoleId and RoleIdReserved."""
    if not is_role_id(id):
        raise InvalidRoleId(id=id)
    if id == NOBODY or id in catalog.organization_names:
        raise RoleIdReserved(id=id)
    return RoleId(id)


async def refuse_taken(session: AsyncSession, catalog: Catalog) -> None:
    """Raise RoleIdsTaken for a role of the catalog that would hide an organization's own.

    Whoever holds the own one would be taken for a holder of the catalog's, with more or less than that
    allows.
    """
    found = await session.scalars(
        select(CustomRole.id)
        .where(CustomRole.id.in_(catalog.roles))
        .distinct()
        .order_by(CustomRole.id)
    )
    if taken := found.all():
        raise RoleIdsTaken(roles=list(taken))
