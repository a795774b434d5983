"""The signed-in user, and the catalog that they may see."""

import msgspec

from teamaccess.catalog import Action, Catalog, CatalogResource, Role
from teamaccess.ledger import OnBehalf
from teamaccess.storage import User, UserKind


class CatalogView(msgspec.Struct):
    """The access model of this deployment."""

    name: str
    version: str
    resources: list[CatalogResource]
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


class MeView(msgspec.Struct):
    """The signed-in user."""

    id: str
    kind: UserKind
    email: str | None
    name: str | None
    external_id: str | None
    organization: str | None
    """The only one that a service account belongs to."""
    via: str | None
    """The service account that acts for the user, in this request."""

    @classmethod
    def of(cls, user: User, both: OnBehalf | None) -> "MeView":
        """Return the user as shown to themselves, or to both of them."""
        return cls(
            id=user.id,
            kind=user.kind,
            email=user.email,
            name=user.name,
            external_id=user.external_id,
            organization=user.service_account_of,
            via=both.account if both is not None else None,
        )
