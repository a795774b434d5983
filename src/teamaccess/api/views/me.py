"""The signed-in user."""

import msgspec

from teamaccess.ledger import OnBehalf
from teamaccess.models import User, UserKind


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
