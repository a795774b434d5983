"""The parts of an access model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Level = Literal["view", "manage", "authorize"]
"""The level of an action: reading, changing, or approving something critical."""

Source = Literal["table", "prose", "product"]
"""The source of an action: the customer's table, the customer's prose, or an operation of teamaccess."""

GrantedBy = Literal["dashboard", "operator"]
"""Who may give a role: members who are allowed to (`dashboard`), or operators only."""

OPERATIONS = (
    "view_organization",
    "change_settings",
    "delete_organization",
    "view_members",
    "view_invitations",
    "invite",
    "cancel_invitation",
    "change_roles",
    "suspend",
    "reactivate",
    "remove",
    "manage_roles",
    "manage_teams",
    "register_resources",
    "manage_service_accounts",
    "act_on_behalf",
    "manage_reviews",
    "view_audit",
)
"""The operations of teamaccess. A catalog names the action that guards each of them."""


def giving_permission(role: str) -> str:
    """Return the organization's permission to give a role without holding its actions."""
    return f"may_give_{role}"


@dataclass(frozen=True, slots=True)
class CatalogResource:
    """A part of the product that actions are about."""

    id: str
    label: str


@dataclass(frozen=True, slots=True)
class Role:
    """A predefined role: a named set of actions."""

    id: str
    name: str
    description: str
    granted_by: GrantedBy
    teams: bool
    """Whether a team may hold it."""
    actions: frozenset[str]
    """Its own actions, and those of the roles and levels that it includes."""
    may_give: tuple[str, ...] = ()
    """The roles that its holders may give to others and take from them without holding their actions."""


@dataclass(frozen=True, slots=True)
class Action:
    """Something that members may or may not do."""

    id: str
    resource: str
    level: Level
    description: str
    source: Source
    roles: tuple[str, ...]
    """The predefined roles that contain it, including the administrator's."""
    four_eyes: bool = False
    """Whether the creator of an object may never perform it on that object."""
    reserved: bool = False
    """Whether only predefined roles may contain it, and no custom role."""

    @property
    def permission(self) -> str:
        """The organization's permission for it.

        A four-eyes action is decided only on an object. Its permission on the organization ignores the
        creator, so it has a name that nobody asks for by mistake.
        """
        return f"{self.id}_unrestricted" if self.four_eyes else self.id

    @property
    def grant_relation(self) -> str:
        """The organization's relation that gives it to custom roles."""
        return f"granted_{self.id}"

    @property
    def holders(self) -> tuple[str, ...]:
        """The organization's relations whose subjects hold the action, if they are active members."""
        return self.roles if self.reserved else (*self.roles, self.grant_relation)


@dataclass(frozen=True, slots=True)
class ObjectRole:
    """A role on one object: a named bundle of actions of the object's type."""

    id: str
    name: str
    description: str
    actions: tuple[str, ...]
    """Permissions of the object, in the order of the type."""


@dataclass(frozen=True, slots=True)
class ResourceType:
    """A type of objects that services register, and the actions on one of them."""

    id: str
    label: str
    actions: Mapping[str, str]
    """Maps a permission of the object to the action that gives it throughout the organization."""
    demands_creator: bool
    """Whether one of its actions is four-eyes, so that registering an object must name its creator."""
    roles: Mapping[str, ObjectRole] = field(default_factory=dict)
    """The roles on one object by id. No role has the id of an action of the type."""

    def actions_granted(self, name: str) -> frozenset[str]:
        """Return the actions that a grant gives: those of the object role, or the one action.

        The catalog may no longer have the action or the role. Then the grant gives nothing.
        """
        if name in self.roles:
            return frozenset(self.roles[name].actions)
        return frozenset(self.actions.keys() & {name})

    def grants_of(self, action: str) -> tuple[str, ...]:
        """Return what can be granted to give an action: the action itself, and the roles with it."""
        return (action, *(role.id for role in self.roles.values() if action in role.actions))
