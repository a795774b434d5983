"""A validated access model, and the questions one asks it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any, Self

import msgspec

from teamaccess.catalog.compiler import compile_schema, definitions, proof_name
from teamaccess.catalog.errors import RoleNotInCatalog
from teamaccess.catalog.model import Action, CatalogResource, ResourceType, Role
from teamaccess.relationships import Relationship


@dataclass(frozen=True, eq=False)
class Catalog:
    """An access model: who may do what. Two are the same when their versions are."""

    name: str
    resources: Mapping[str, CatalogResource]
    actions: Mapping[str, Action]
    roles: Mapping[str, Role]
    types: Mapping[str, ResourceType]
    guards: Mapping[str, str]
    """From each of this product's own operations to the action it takes."""
    administrator: str
    """The role that holds every action."""
    founder_role: str | None
    """What the creator of an organization becomes; None where only operators create them."""
    longest_days: int
    """How far ahead an end may lie that somebody gives to a role, a membership or a grant."""

    @cached_property
    def version(self) -> str:
        """The name and a hash of the meaning: comments and layout do not change it."""
        meaning = json.dumps(self.meaning(), sort_keys=True)
        return f"{self.name}-{sha256(meaning.encode()).hexdigest()[:12]}"

    def meaning(self) -> dict[str, Any]:
        """Return all that it says, as JSON has it; the order of the keys is the catalog's."""
        meaning: dict[str, Any] = json.loads(json.dumps(asdict(self), default=sorted))
        return meaning

    @classmethod
    def from_meaning(cls, meaning: dict[str, Any]) -> Self:
        """Return the catalog that means this, as it was read once."""
        return msgspec.convert(meaning, cls)

    def actions_of(self, roles: Iterable[str]) -> frozenset[str]:
        """Return every action that the roles hold together; raises RoleNotInCatalog."""
        return frozenset().union(*(self._role(role).actions for role in roles))

    def schema(self) -> str:
        """Return the SpiceDB schema that enforces this model."""
        return compile_schema(self)

    @cached_property
    def schema_proof(self) -> str:
        """The permission of an organization that only this catalog's schema has."""
        return proof_name(self)

    def permits(self, relationship: Relationship) -> bool:
        """Tell whether the schema has a place for the relationship."""
        subject = relationship.subject
        held = (subject.object.type, subject.relation, relationship.expiration is not None)
        return held in self._subjects.get((relationship.resource.type, relationship.relation), ())

    @cached_property
    def organization_names(self) -> frozenset[str]:
        """The relations and permissions that an organization has in the schema."""
        [tenant] = [each for each in definitions(self) if each.name == "organization"]
        return frozenset(member.name for group in tenant.groups for member in group)

    @cached_property
    def resource_types(self) -> tuple[str, ...]:
        """The types of objects that relationships can be about, in the order of their names."""
        return tuple(sorted({resource for resource, _ in self._subjects}))

    def _role(self, role: str) -> Role:
        try:
            return self.roles[role]
        except KeyError:
            raise RoleNotInCatalog(f"the catalog {self.name} has no role {role!r}") from None

    @cached_property
    def _subjects(self) -> dict[tuple[str, str], frozenset[tuple[str, str | None, bool]]]:
        return {
            (definition.name, relation.name): frozenset(
                (each.type, each.relation, each.expires) for each in relation.subjects
            )
            for definition in definitions(self)
            for relation in definition.relations()
        }
