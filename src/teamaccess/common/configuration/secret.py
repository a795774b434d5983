"""Secrets that a person or a service presents: the tokens of service accounts and invitation links.

SECURITY: only the hash is stored. A secret has 256 random bits, so nobody can guess it, and SHA-256 is
slow enough.
"""

import hashlib
import hmac
import secrets

BYTES = 32


def new_secret(prefix: str = "") -> str:
    """Return a new secret of 256 bits behind the prefix, fit for a link."""
    return prefix + secrets.token_urlsafe(BYTES)


def hash_of(secret: str) -> bytes:
    """Return the hash that is stored of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def is_secret_of(stored: bytes, secret: str) -> bool:
    """Return whether the stored hash is the secret's; compares in constant time."""
    return hmac.compare_digest(stored, hash_of(secret))
