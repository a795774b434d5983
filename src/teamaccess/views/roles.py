"""Roles: the catalog's, and those that organizations make."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from teamaccess.catalog import Catalog, Level
from teamaccess.directory.roles.find import RoleEntry
from teamaccess.directory.roles.holders import Holders
from teamaccess.directory.roles.selection import Parts, Selector, could_add
from teamaccess.storage import CustomRole
from teamaccess.views.request import Name, Reason, Request, RoleName

ActionName = Annotated[str, Meta(min_length=1, max_length=64)]


class ActionsOf(Request):
    """All actions of a resource at a level, as the catalog has them when the role is saved."""

    resource: ActionName
    level: Level


Actions = Annotated[list[ActionName | ActionsOf], Meta(min_length=1, max_length=200)]


class NewRole(Request, kw_only=True):
    """A role to be made, of actions or as a clone."""

    id: Annotated[str, Meta(min_length=1, max_length=64)]
    name: Name
    description: Reason | None = None
    actions: Actions | UnsetType = UNSET
    clone_of: RoleName | UnsetType = UNSET

    def __post_init__(self) -> None:
        """Raise ValueError, which is a mistake in the body, unless it is one of both."""
        if (self.actions is UNSET) == (self.clone_of is UNSET):
            raise ValueError("A role is made either of `actions` or as a `clone_of` another")


class RoleReplaced(Request, kw_only=True):
    """What a role shall be from now on; its id stays, and may be left out."""

    id: RoleName | UnsetType = UNSET
    name: Name
    description: Reason | None = None
    actions: Actions


class RoleView(msgspec.Struct):
    """A role."""

    id: str
    name: str
    description: str | None
    custom: bool
    """Whether it is the organization's own, and not one that every organization has."""
    operator_only: bool
    """Whether only whoever operates the service gives it."""
    teams: bool
    """Whether teams may hold it."""
    actions: list[str]
    selectors: list[Selector]
    could_add: list[str]
    """What its selectors would add if it were saved today."""
    holders: Holders
    created_at: datetime | None
    left_out: list[str] | UnsetType = UNSET
    """What a clone does not have of its original, because no custom role may hold it."""

    @classmethod
    def of(cls, found: RoleEntry, catalog: Catalog) -> "RoleView":
        """Return the role as it is shown."""
        role = found.role
        if isinstance(role, CustomRole):
            return cls(
                id=role.id,
                name=role.name,
                description=role.description,
                custom=True,
                operator_only=False,
                teams=True,
                actions=sorted(role.actions),
                selectors=[Selector(**each) for each in role.selectors],
                could_add=sorted(could_add(catalog, role)),
                holders=found.holders,
                created_at=role.created_at,
            )
        return cls(
            id=role.id,
            name=role.name,
            description=role.description,
            custom=False,
            operator_only=role.granted_by == "operator",
            teams=role.teams,
            actions=sorted(role.actions),
            selectors=[],
            could_add=[],
            holders=found.holders,
            created_at=None,
        )


def parts_of(actions: Actions) -> Parts:
    """Return what a role is made of, as the room of roles knows it."""
    return [
        Selector(each.resource, each.level) if isinstance(each, ActionsOf) else each
        for each in actions
    ]
