"""An access model: its roles, actions and guards, and what follows from them alone."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any, Self

import msgspec

from teamaccess.catalog.errors import RoleNotInCatalog
from teamaccess.catalog.model import (
    Action,
    CatalogResource,
    ResourceType,
    Role,
    giving_permission,
)

TEXTS = frozenset({"name", "label", "description", "source"})
"""The parts of a catalog that are only shown to people, or say where a rule comes from."""


@dataclass(frozen=True, eq=False)
class AccessModel:
    """What a catalog says. Two are the same if their versions are equal."""

    name: str
    resources: Mapping[str, CatalogResource]
    actions: Mapping[str, Action]
    roles: Mapping[str, Role]
    types: Mapping[str, ResourceType]
    guards: Mapping[str, str]
    """Maps each operation of teamaccess to the action that it requires."""
    administrator: str
    """The role that holds every action."""
    founder_role: str | None
    """The role of an organization's creator. None where only operators create organizations."""
    longest_days: int
    """How far ahead the end of a role, a membership or a grant may be, in days."""

    @cached_property
    def version(self) -> str:
        """The name and a hash of the meaning. Comments and layout do not change it."""
        meaning = json.dumps(self.meaning(), sort_keys=True)
        return f"{self.name}-{sha256(meaning.encode()).hexdigest()[:12]}"

    def meaning(self) -> dict[str, Any]:
        """Return the whole catalog as JSON. The keys have the catalog's order.

        A key that was added later is left out if it is empty, so that other catalogs keep their version.
        """
        meaning: dict[str, Any] = json.loads(json.dumps(asdict(self), default=sorted))
        for later, owners in (("may_give", meaning["roles"]), ("roles", meaning["types"])):
            for owner in owners.values():
                if not owner[later]:
                    del owner[later]
        return meaning

    def rules(self) -> dict[str, Any]:
        """Return everything in the catalog that decides about a change: all but the texts for people."""
        rules: dict[str, Any] = _without_texts(self.meaning())
        return rules

    @classmethod
    def from_meaning(cls, meaning: dict[str, Any]) -> Self:
        """Return the catalog that `meaning()` once returned as this JSON."""
        return msgspec.convert(meaning, cls)

    def actions_of(self, roles: Iterable[str]) -> frozenset[str]:
        """Return every action that the roles contain together. Raises RoleNotInCatalog."""
        return frozenset().union(*(self._role(role).actions for role in roles))

    @cached_property
    def givers(self) -> Mapping[str, tuple[str, ...]]:
        """The roles that `may_give` names, each with the roles whose holders may give it."""
        givers = defaultdict[str, list[str]](list)
        for role in self.roles.values():
            for given in role.may_give:
                givers[given].append(role.id)
        return {given: tuple(givers[given]) for given in self.roles if given in givers}

    @cached_property
    def permissions(self) -> Mapping[str, Action]:
        """Every permission that somebody can hold throughout the organization, by id.

        These are all actions, and for each role that `may_give` names the permission to give it, such as
        `may_give_support`. No custom role has a permission to give a role.
        """
        giving = [self._giving(given, by) for given, by in self.givers.items()]
        return {**self.actions, **{permission.id: permission for permission in giving}}

    def permissions_of(self, role: str) -> frozenset[str]:
        """Return the actions of a role and its permissions to give roles. Raises RoleNotInCatalog."""
        if role == self.administrator:
            return frozenset(self.permissions)
        found = self._role(role)
        return found.actions.union(map(giving_permission, found.may_give))

    @cached_property
    def roles_by_giving(self) -> Mapping[str, Role]:
        """The roles that `may_give` names, by the permission to give them."""
        return {giving_permission(given): self.roles[given] for given in self.givers}

    def _giving(self, given: str, by: Iterable[str]) -> Action:
        return Action(
            id=giving_permission(given),
            resource="roles",
            level="manage",
            description=f"Give the role {given} to others, and take it from them",
            source="product",
            roles=tuple(dict.fromkeys([self.administrator, *by])),
            reserved=True,
        )

    def _role(self, role: str) -> Role:
        try:
            return self.roles[role]
        except KeyError:
            raise RoleNotInCatalog(f"the catalog {self.name} has no role {role!r}") from None


def _without_texts(meaning: Any) -> Any:
    """Return a part of a catalog's meaning without the texts of its roles, actions and types."""
    if not isinstance(meaning, dict):
        return meaning
    return {
        key: _without_texts(part)
        for key, part in meaning.items()
        if key not in TEXTS or not isinstance(part, str)
    }
