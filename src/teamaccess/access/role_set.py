"""What the roles of one organization allow: the catalog's, and its own."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import ARRAY, Text, any_, bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.catalog import Catalog
from teamaccess.common.errors import Invalid
from teamaccess.storage import CustomRole, OrganizationId, RoleId, is_role_id

OWN = select(CustomRole).where(
    CustomRole.organization_id == bindparam("organization"),
    CustomRole.id == any_(bindparam("roles", type_=ARRAY(Text))),
)
NOTHING: frozenset[str] = frozenset()


class UnknownRole(Invalid):
    """There is no role {role!r} here. The catalog has {roles}; GET .../roles names the organization's."""


@dataclass(frozen=True)
class RoleSet:
    """The catalog's roles, and those of the organization's own that were asked for."""

    catalog: Catalog
    own: Mapping[RoleId, CustomRole]

    def __contains__(self, role: RoleId) -> bool:
        return role in self.catalog.roles or role in self.own

    def refuse_unknown(self, roles: Iterable[RoleId]) -> None:
        """Raise UnknownRole for a role that neither the catalog nor the organization has."""
        for role in roles:
            if role not in self:
                raise UnknownRole(role=role, roles=list(self.catalog.roles))

    def actions_of(self, roles: Iterable[RoleId]) -> frozenset[str]:
        """Return every action that the roles allow together.

        A role that is gone allows nothing, and what the catalog does not have any more is no action.
        """
        return frozenset().union(*(self._actions(role) for role in roles))

    def are_custom(self, roles: Iterable[RoleId]) -> frozenset[RoleId]:
        """Return which of the roles are the organization's own."""
        return frozenset(role for role in roles if role not in self.catalog.roles)

    def teams_may_hold(self, role: RoleId) -> bool:
        """Return whether a team may hold the role; one of the organization's own always."""
        return role not in self.catalog.roles or self.catalog.roles[role].teams

    def operators_grant(self, role: RoleId) -> bool:
        """Return whether only an operator gives the role."""
        known = self.catalog.roles.get(role)
        return known is not None and known.granted_by == "operator"

    def name(self, role: RoleId) -> str:
        """Return what people call the role."""
        known = self.catalog.roles.get(role) or self.own.get(role)
        return known.name if known is not None else role

    def _actions(self, role: RoleId) -> frozenset[str]:
        if role in self.catalog.roles:
            return self.catalog.roles[role].actions
        return self.own[role].actions & self.catalog.actions.keys() if role in self.own else NOTHING


async def role_set_of(
    session: AsyncSession,
    catalog: Catalog,
    organization: OrganizationId,
    wanted: Iterable[RoleId],
) -> RoleSet:
    """Return the organization's roles as far as they are among those wanted.

    Where the catalog has them all nothing is asked.
    """
    others = [role for role in dict.fromkeys(wanted) if role not in catalog.roles]
    own = [role for role in others if is_role_id(role)]
    if not own:
        return RoleSet(catalog, {})
    found = await session.scalars(OWN, {"organization": organization, "roles": own})
    return RoleSet(catalog, {role.id: role for role in found})
