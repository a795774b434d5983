"""The secret of an API token."""

import hashlib
import hmac
import secrets

PREFIX = "ta_"
"""Marks a leaked token, for people and for programs that search for secrets."""
BYTES = 32


def new_secret() -> str:
    """Return a fresh secret of 256 bits."""
    return PREFIX + secrets.token_urlsafe(BYTES)


def hash_of(secret: str) -> bytes:
    """Return what is kept of a secret. It is random, so nothing slower than SHA-256 is needed."""
    return hashlib.sha256(secret.encode()).digest()


def is_secret_of(hash: bytes, secret: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(hash, hash_of(secret))
