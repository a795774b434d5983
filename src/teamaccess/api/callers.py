"""Who can be asking, and what they show for it."""

from dataclasses import dataclass

from teamaccess.models import ApiToken, User
from teamaccess.users.issuer import Login
from teamaccess.users.tokens import Claims


@dataclass(frozen=True)
class Operator:
    """Whoever runs the service, signed in with an operator's token."""

    name: str


Caller = User | Operator | None
"""A person or a service account, an operator, or nobody known."""

Shown = Claims | Login | ApiToken | None
"""What a token of ours, another login's or a service account's says."""
