"""Which objects of the graph belong to which tenant."""

from collections.abc import Iterator
from typing import NamedTuple

from teamaccess.catalog import Catalog
from teamaccess.engine import ObjectFilter
from teamaccess.storage import OrganizationId

ORGANIZATION = "organization"


class Tenant(NamedTuple):
    """A group of objects of one type that belong together, by what their ids have in common."""

    type: str
    key: str
    """The id of an organization; of other objects all up to the first slash, the slash included."""

    @property
    def organization(self) -> OrganizationId | None:
        """The organization that has such objects, if it exists; None for a name that is nobody's."""
        if self.type == ORGANIZATION:
            return OrganizationId(self.key)
        return OrganizationId(self.key[:-1]) if self.key.endswith("/") else None

    @property
    def name(self) -> str:
        """What people are told of it."""
        return self.organization or f"{self.type}:{self.key}"

    @property
    def objects(self) -> ObjectFilter:
        """All of its objects."""
        if self.type != ORGANIZATION and self.key.endswith("/"):
            return ObjectFilter(self.type, prefix=self.key)
        return ObjectFilter(self.type, id=self.key)


def key_of(resource_type: str, resource_id: str) -> str:
    """Return the tenant's key; keys are in the same order as the ids that they are of."""
    if resource_type == ORGANIZATION:
        return resource_id
    before, slash, _ = resource_id.partition("/")
    return before + slash


def objects_of(organization: str, catalog: Catalog) -> Iterator[ObjectFilter]:
    """Yield where everything is that an organization can have."""
    for resource_type in catalog.resource_types:
        key = organization if resource_type == ORGANIZATION else f"{organization}/"
        yield Tenant(resource_type, key).objects
