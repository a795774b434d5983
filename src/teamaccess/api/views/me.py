"""The signed-in user."""

import msgspec

from teamaccess.models import (
    User,
)


class MeView(msgspec.Struct):
    """The signed-in user."""

    id: str
    email: str | None
    name: str | None

    @classmethod
    def of(cls, user: User) -> "MeView":
        """Return the user as shown to themselves."""
        return cls(user.id, user.email, user.name)
