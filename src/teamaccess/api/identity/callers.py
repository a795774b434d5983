"""Who can be asking, and what they show for it."""

from dataclasses import dataclass

from teamaccess.directory.users.issuer import Login
from teamaccess.directory.users.tokens import Claims
from teamaccess.storage import ApiToken, User


@dataclass(frozen=True)
class Operator:
    """Whoever runs the service, signed in with an operator's token."""

    name: str


Caller = User | Operator | None
"""A person or a service account, an operator, or nobody known."""

Credential = Claims | Login | ApiToken | None
"""What a token of ours, another login's or a service account's says."""
