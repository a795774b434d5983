"""The kinds of callers and of credentials."""

from dataclasses import dataclass

from teamaccess.directory.users.issuer import Login
from teamaccess.directory.users.tokens import Claims
from teamaccess.storage import ApiToken, User


@dataclass(frozen=True)
class Operator:
    """A person who runs the service, signed in with an operator's token."""

    name: str


Caller = User | Operator | None
"""A user (a person or a service account), an operator, or None for an anonymous caller."""

Credential = Claims | Login | ApiToken | None
"""A verified token: one of ours, one of the OpenID Connect provider, or a service account's."""
