"""What an access model is made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Level = Literal["view", "manage", "authorize"]
"""What an action amounts to: reading, changing, or approving something critical."""

Source = Literal["table", "prose", "product"]
"""Where an action comes from: the customer's table, its prose, or this product's own operations."""

GrantedBy = Literal["dashboard", "operator"]
"""Who may give a role: members with the right to, or only whoever runs the service."""

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
"""This product's own operations; a catalog names the action that guards each of them."""


@dataclass(frozen=True, slots=True)
class CatalogResource:
    """A part of the product that actions are about."""

    id: str
    label: str


@dataclass(frozen=True, slots=True)
class Role:
    """A predefined bundle of actions."""

    id: str
    name: str
    description: str
    granted_by: GrantedBy
    teams: bool
    """Whether a team may hold it."""
    actions: frozenset[str]


@dataclass(frozen=True, slots=True)
class Action:
    """Something that members may or may not do."""

    id: str
    resource: str
    level: Level
    description: str
    source: Source
    roles: tuple[str, ...]
    """The predefined roles that include it, the administrator's among them."""
    four_eyes: bool = False
    """Whether it is never for the one who created the object it is done to."""
    reserved: bool = False
    """Whether only predefined roles hold it: no role of an organization's own may."""

    @property
    def permission(self) -> str:
        """The organization's permission behind it.

        A four-eyes action is decided on an object alone. Its permission on the organization
        forgets the creator, so it has a name that nobody asks for by mistake.
        """
        return f"{self.id}_unrestricted" if self.four_eyes else self.id

    @property
    def grant_relation(self) -> str:
        """The organization's relation through which custom roles hold it."""
        return f"granted_{self.id}"


@dataclass(frozen=True, slots=True)
class ResourceType:
    """A kind of object that services register, and what can be done to one of them."""

    id: str
    label: str
    actions: Mapping[str, str]
    """From a permission of the object to the action that gives it throughout the organization."""
    demands_creator: bool
    """Whether one of its actions is four-eyes, so that registering needs to say who created it."""
