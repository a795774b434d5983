"""A validated access model with the schema that enforces it."""

from dataclasses import dataclass
from functools import cached_property

from teamaccess.catalog.access_model import AccessModel
from teamaccess.catalog.compiler import compile_schema, definitions, proof_name
from teamaccess.relationships import Relationship


@dataclass(frozen=True, eq=False)
class Catalog(AccessModel):
    """An access model, and what its schema accepts."""

    def schema(self) -> str:
        """Return the SpiceDB schema that enforces this model."""
        return compile_schema(self)

    @cached_property
    def schema_proof(self) -> str:
        """The name of an organization's permission. Only catalogs with the same rules have it."""
        return proof_name(self)

    def schema_allows(self, relationship: Relationship) -> bool:
        """Return whether SpiceDB accepts the relationship under this catalog's schema."""
        subject = relationship.subject
        kind = (subject.object.type, subject.relation, relationship.expiration is not None)
        return kind in self._subjects.get((relationship.resource.type, relationship.relation), ())

    @cached_property
    def organization_names(self) -> frozenset[str]:
        """The relations and permissions that an organization has in the schema."""
        [found] = [
            definition for definition in definitions(self) if definition.name == "organization"
        ]
        return frozenset(member.name for group in found.groups for member in group)

    @cached_property
    def resource_types(self) -> tuple[str, ...]:
        """The types of objects that have relations, in the order of their names."""
        return tuple(sorted({resource for resource, _ in self._subjects}))

    @cached_property
    def _subjects(self) -> dict[tuple[str, str], frozenset[tuple[str, str | None, bool]]]:
        return {
            (definition.name, relation.name): frozenset(
                (subject.type, subject.relation, subject.expires) for subject in relation.subjects
            )
            for definition in definitions(self)
            for relation in definition.relations()
        }
