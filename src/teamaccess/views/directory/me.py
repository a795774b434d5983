"""The signed-in user, and the catalog."""

import msgspec

from teamaccess.catalog import Action, Catalog, CatalogResource, ResourceType, Role
from teamaccess.ledger import OnBehalf
from teamaccess.storage import User, UserKind


class CatalogView(msgspec.Struct):
    """The access model of this deployment."""

    name: str
    version: str
    resources: list[CatalogResource]
    actions: list[Action]
    roles: list[Role]
    types: list[ResourceType]
    """The types of objects that services register, each with its actions and roles."""

    @classmethod
    def of(cls, catalog: Catalog) -> "CatalogView":
        """Return the view of a catalog."""
        return cls(
            name=catalog.name,
            version=catalog.version,
            resources=list(catalog.resources.values()),
            actions=list(catalog.actions.values()),
            roles=list(catalog.roles.values()),
            types=list(catalog.types.values()),
        )


class MeView(msgspec.Struct):
    """The signed-in user."""

    id: str
    kind: UserKind
    email: str | None
    name: str | None
    external_id: str | None
    organization: str | None
    """The organization of a service account, which belongs to exactly one."""
    via: str | None
    """The service account that sent this request on behalf of the user."""

    @classmethod
    def of(cls, user: User, on_behalf: OnBehalf | None) -> "MeView":
        """Return the view of a user, for themselves or for the service account that acts for them."""
        return cls(
            id=user.id,
            kind=user.kind,
            email=user.email,
            name=user.name,
            external_id=user.external_id,
            organization=user.service_account_of,
            via=on_behalf.account if on_behalf is not None else None,
        )
