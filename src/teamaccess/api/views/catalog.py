"""The access model, as it is shown."""

import msgspec

from teamaccess.catalog import Action, Catalog, Resource, Role


class CatalogView(msgspec.Struct):
    """The access model of this deployment."""

    name: str
    version: str
    resources: list[Resource]
    actions: list[Action]
    roles: list[Role]

    @classmethod
    def of(cls, catalog: Catalog) -> "CatalogView":
        """Return the catalog as it is shown."""
        return cls(
            name=catalog.name,
            version=catalog.version,
            resources=list(catalog.resources.values()),
            actions=list(catalog.actions.values()),
            roles=list(catalog.roles.values()),
        )
