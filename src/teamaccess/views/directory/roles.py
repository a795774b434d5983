"""Predefined and custom roles."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from teamaccess.catalog import Catalog, Level
from teamaccess.directory.roles.find import RoleEntry
from teamaccess.directory.roles.holders import Holders
from teamaccess.directory.roles.selection import Parts, Selector, could_add
from teamaccess.storage import CustomRole
from teamaccess.views.request import Name, Reason, Request, RoleReference

ActionName = Annotated[str, Meta(min_length=1, max_length=64)]


class ActionsAtLevel(Request):
    """A selector: all actions that the catalog has for a resource at a level when the role is saved."""

    resource: ActionName
    level: Level


Actions = Annotated[list[ActionName | ActionsAtLevel], Meta(min_length=1, max_length=200)]


class NewRole(Request, kw_only=True):
    """A custom role to create, from actions or as a clone."""

    id: Annotated[str, Meta(min_length=1, max_length=64)]
    name: Name
    description: Reason | None = None
    actions: Actions | UnsetType = UNSET
    clone_of: RoleReference | UnsetType = UNSET

    def __post_init__(self) -> None:
        """Raise ValueError, which makes the body invalid, unless exactly one of them is given."""
        if (self.actions is UNSET) == (self.clone_of is UNSET):
            raise ValueError("A role is made either of `actions` or as a `clone_of` another")


class RoleReplacement(Request, kw_only=True):
    """The new contents of a custom role. The id cannot change and may be left out."""

    id: RoleReference | UnsetType = UNSET
    name: Name
    description: Reason | None = None
    actions: Actions


class RoleView(msgspec.Struct):
    """A role."""

    id: str
    name: str
    description: str | None
    custom: bool
    """Whether it is a custom role."""
    operator_only: bool
    """Whether only operators may give it."""
    teams: bool
    """Whether teams may hold it."""
    actions: list[str]
    may_give: list[str]
    """The roles that its holders may give to others without holding their actions."""
    selectors: list[Selector]
    could_add: list[str]
    """Actions that its selectors would add if the role were saved now."""
    holders: Holders
    created_at: datetime | None
    left_out: list[str] | UnsetType = UNSET
    """Actions of the original, and its permissions to give roles, that custom roles may not contain."""

    @classmethod
    def of(cls, entry: RoleEntry, catalog: Catalog) -> "RoleView":
        """Return the view of a role."""
        role = entry.role
        if isinstance(role, CustomRole):
            return cls(
                id=role.id,
                name=role.name,
                description=role.description,
                custom=True,
                operator_only=False,
                teams=True,
                actions=sorted(role.actions),
                may_give=[],
                selectors=[Selector(**each) for each in role.selectors],
                could_add=sorted(could_add(catalog, role)),
                holders=entry.holders,
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
            may_give=list(role.may_give),
            selectors=[],
            could_add=[],
            holders=entry.holders,
            created_at=None,
        )


def parts_of(actions: Actions) -> Parts:
    """Return the actions and selectors of a role for the use case."""
    return [
        Selector(each.resource, each.level) if isinstance(each, ActionsAtLevel) else each
        for each in actions
    ]
