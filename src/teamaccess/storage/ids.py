"""The types of ids, so that one kind of id is never used as another."""

import re
import secrets
from typing import NewType

OrganizationId = NewType("OrganizationId", str)
UserId = NewType("UserId", str)
RoleId = NewType("RoleId", str)
InvitationId = NewType("InvitationId", str)
TeamId = NewType("TeamId", str)
ResourceId = NewType("ResourceId", str)
RequestId = NewType("RequestId", str)
TokenId = NewType("TokenId", str)

ORGANIZATION_PATTERN = r"^[a-z0-9-]{3,64}$"
"""A slug. It is immutable, and is not reused after the organization has ended."""

LOCAL_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
"""An id inside an organization, or a user's id. It is valid as a part of a SpiceDB object id."""

ROLE_PATTERN = r"^[a-z][a-z0-9_]{1,62}[a-z0-9]$"
"""SpiceDB's own limits for the name of a relation."""


def new_user_id() -> UserId:
    """Return a new opaque id. It is not derived from the e-mail address, because that may change."""
    return UserId(f"usr_{secrets.token_hex(10)}")


def new_invitation_id() -> InvitationId:
    """Return a new opaque id of an invitation."""
    return InvitationId(f"inv_{secrets.token_hex(10)}")


def new_service_account_id() -> UserId:
    """Return a new opaque id of a service account."""
    return UserId(f"sa_{secrets.token_hex(10)}")


def new_request_id() -> RequestId:
    """Return a new opaque id of an access request."""
    return RequestId(f"req_{secrets.token_hex(10)}")


def new_token_id() -> TokenId:
    """Return a new opaque id of an API token. The id is not secret."""
    return TokenId(f"tok_{secrets.token_hex(10)}")


def is_role_id(text: str) -> bool:
    """Return whether the text is a valid id of a role."""
    return re.fullmatch(ROLE_PATTERN, text) is not None and "\n" not in text


def is_organization_id(text: str) -> bool:
    """Return whether the text is a valid id of an organization."""
    return re.fullmatch(ORGANIZATION_PATTERN, text) is not None and "\n" not in text


def is_local_id(text: str) -> bool:
    """Return whether the text is a valid id of a user, an invitation or another object."""
    return re.fullmatch(LOCAL_PATTERN, text) is not None and "\n" not in text
