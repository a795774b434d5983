"""The secret in an invitation's mail. Only its hash is kept."""

import hashlib
import secrets


def new_secret() -> str:
    """Return 256 bits from the system's generator, fit for a link."""
    return secrets.token_urlsafe(32)


def hash_of(secret: str) -> bytes:
    """Return what is kept of it. A plain hash will do: nobody guesses 256 bits."""
    return hashlib.sha256(secret.encode()).digest()
