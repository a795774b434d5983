"""Maps the objects in SpiceDB to tenants."""

from collections.abc import Iterator
from typing import NamedTuple

from teamaccess.catalog import Catalog
from teamaccess.engine import ObjectFilter
from teamaccess.storage import OrganizationId

ORGANIZATION = "organization"


class Tenant(NamedTuple):
    """The objects of one type that belong to one tenant, by the common part of their ids."""

    type: str
    key: str
    """The id of an organization; for other objects the id up to and including the first slash."""

    @property
    def organization(self) -> OrganizationId | None:
        """The id of the organization that such objects would belong to; None if the ids name none."""
        if self.type == ORGANIZATION:
            return OrganizationId(self.key)
        return OrganizationId(self.key[:-1]) if self.key.endswith("/") else None

    @property
    def name(self) -> str:
        """The tenant's name for people."""
        return self.organization or f"{self.type}:{self.key}"

    @property
    def objects(self) -> ObjectFilter:
        """All of its objects."""
        if self.type != ORGANIZATION and self.key.endswith("/"):
            return ObjectFilter(self.type, prefix=self.key)
        return ObjectFilter(self.type, id=self.key)


def key_of(resource_type: str, resource_id: str) -> str:
    """Return the key of an object's tenant. Keys sort like the ids of the objects."""
    if resource_type == ORGANIZATION:
        return resource_id
    before, slash, _ = resource_id.partition("/")
    return before + slash


def objects_of(organization: str, catalog: Catalog) -> Iterator[ObjectFilter]:
    """Yield filters for all objects that an organization can have."""
    for resource_type in catalog.resource_types:
        key = organization if resource_type == ORGANIZATION else f"{organization}/"
        yield Tenant(resource_type, key).objects
