"""The ids and the names that custom roles may have."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.catalog import Catalog
from teamaccess.changes import OrganizationChange
from teamaccess.common.errors import Conflict, Invalid
from teamaccess.common.lookalikes import find_lookalike, find_lookalike_yielding
from teamaccess.storage import CustomRole, RoleId, is_role_id
from teamaccess.storage.base import suggest_role_id

NOBODY = "none"
"""Stands for no role where a role is expected."""


class InvalidRoleId(Invalid):
    """The id has a form that SpiceDB does not take as a name."""

    message = (
        "{id!r} is not a valid role id. Use 3 to 64 characters of a-z, 0-9 and _; start with a "
        "letter, and don't end with _, because that is what SpiceDB takes. For example: {example!r}."
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


class RoleNameTaken(Conflict):
    """The name or the id looks like that of another role, so people could confuse the two."""

    message = "{name!r} looks like the role {taken!r}. Choose another name."


def refuse_bad_id(catalog: Catalog, id: str) -> RoleId:
    """Return the id. Raises InvalidRoleId, RoleIdReserved and RoleNameTaken."""
    if not is_role_id(id):
        raise InvalidRoleId(id=id, example=_free_id(catalog, suggest_role_id(id)))
    if because := _meaning_of(catalog, id):
        raise RoleIdReserved(id=id, because=because, example=_free_id(catalog, id))
    if (taken := find_lookalike(id, _predefined_names(catalog))) is not None:
        raise RoleNameTaken(name=id, taken=taken)
    return RoleId(id)


async def refuse_taken_name(change: OrganizationChange, name: str, of: RoleId) -> None:
    """Raise RoleNameTaken for a name of the role `of` that looks like the name of another role.

    Also raises WrittenOutTooLong.
    """
    rows = await change.session.scalars(
        select(CustomRole.name)
        .where(CustomRole.organization_id == change.organization, CustomRole.id != of)
        .order_by(CustomRole.created_at, CustomRole.id)
    )
    others = [*_predefined_names(change.catalog), *rows]
    if (taken := await find_lookalike_yielding(name, others)) is not None:
        raise RoleNameTaken(name=name, taken=taken)


def _free_id(catalog: Catalog, id: str) -> str:
    """Return the valid id if the catalog has no use for it, otherwise one that resembles it."""
    taken = _meaning_of(catalog, id) or find_lookalike(id, _predefined_names(catalog))
    return f"{id[:60]}_own" if taken else id


def _predefined_names(catalog: Catalog) -> list[str]:
    return [text for role in catalog.roles.values() for text in (role.name, role.id)]


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
