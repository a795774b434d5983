"""Operations on custom roles."""

from typing import Annotated

import msgspec

from teamaccess.audit.plans.operations.base import DisplayName, LocalId, PlanContext, Proposed, Text
from teamaccess.changes import OrganizationChange
from teamaccess.common.text import LONGEST_NAME, LONGEST_REASON, clean
from teamaccess.directory.roles.find import find_custom_role
from teamaccess.directory.roles.make import Description, clone, create_role, replace
from teamaccess.directory.roles.remove import delete_role
from teamaccess.storage import RoleId


class SetRole(Proposed, tag="set_role", frozen=True):
    """A custom role has exactly these actions. It is created if it does not exist."""

    role: LocalId
    actions: Annotated[list[LocalId], msgspec.Meta(max_length=500)]
    name: DisplayName | None = None
    description: Text | None = None

    async def make(self, change: OrganizationChange, context: PlanContext) -> None:
        """Create the role, or replace its actions."""
        id = RoleId(self.role)
        own = await find_custom_role(change.session, change.organization, id)
        name = self.name if self.name is not None else own.name if own else self.role
        text = own.description if own else None
        if self.description is not None:
            text = clean("description", self.description, LONGEST_REASON)
        about = Description(clean("name", name, LONGEST_NAME), text)
        if own is None:
            await create_role(change, self.role, about, self.actions)
        else:
            await replace(change, id, about, self.actions)


class CloneRole(Proposed, tag="clone_role", frozen=True):
    """A new custom role has the actions of another role."""

    role: LocalId
    clone_of: LocalId
    name: DisplayName

    async def make(self, change: OrganizationChange, context: PlanContext) -> None:
        """Create the role."""
        about = Description(clean("name", self.name, LONGEST_NAME), None)
        await clone(change, self.role, about, RoleId(self.clone_of))


class DeleteRole(Proposed, tag="delete_role", frozen=True):
    """A custom role is deleted. Its holders get the role `reassign`; with `none` they get no other."""

    role: LocalId
    reassign: LocalId | None = None

    async def make(self, change: OrganizationChange, context: PlanContext) -> None:
        """Delete the role."""
        await delete_role(change, RoleId(self.role), self.reassign)
