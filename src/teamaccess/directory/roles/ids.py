"""The ids that custom roles may have."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.catalog import Catalog
from teamaccess.common.errors import Conflict, Invalid
from teamaccess.storage import CustomRole, RoleId, is_role_id

NOBODY = "none"
"""Stands for no role where a role is expected."""


class InvalidRoleId(Invalid):
    """The id has a form that SpiceDB does not take as a name."""

    message = (
        "{id!r} is not a valid role id. Use 3 to 64 characters of a-z, 0-9 and _; start with a "
        "letter, and don't end with _."
    )


class RoleIdReserved(Conflict):
    """The id has a meaning in every organization: the catalog or the schema uses it."""

    message = "The role id {id} is reserved: {because}. Choose another id, for example {example}."


class RoleIdsTaken(Conflict):
    """A proposed catalog names roles that organizations already have as custom roles."""

    message = (
        "Organizations already have custom roles with the ids {roles}. Choose other ids in the "
        "catalog."
    )


def refuse_bad_id(catalog: Catalog, id: str) -> RoleId:
    """Return the id; raises InvalidRoleId and RoleIdReserved."""
    if not is_role_id(id):
        raise InvalidRoleId(id=id)
    if because := _meaning_of(catalog, id):
        raise RoleIdReserved(id=id, because=because, example=f"{id[:60]}_own")
    return RoleId(id)


def _meaning_of(catalog: Catalog, id: str) -> str | None:
    """Return what the id means already, None for a free one.

    An answer such as "granted by links_edit" must not leave open whether a role or an action is meant.
    """
    if id == NOBODY:
        return "it stands for no role when a role is deleted"
    if id in catalog.roles:
        return "the catalog has a role with this id"
    if id in catalog.actions:
        return "the catalog has an action with this id, and reports name both by their ids"
    if id in catalog.organization_names:
        return "the schema of every organization uses it"
    return None


async def refuse_taken(session: AsyncSession, catalog: Catalog) -> None:
    """Raise RoleIdsTaken for a role of the catalog that has the id of a custom role.

    Holders of the custom role would count as holders of the catalog's role, which may allow more or less.
    """
    rows = await session.scalars(
        select(CustomRole.id)
        .where(CustomRole.id.in_(catalog.roles))
        .distinct()
        .order_by(CustomRole.id)
    )
    if taken := rows.all():
        raise RoleIdsTaken(roles=list(taken))
