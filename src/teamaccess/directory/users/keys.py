"""The keys that are derived from the one secret of a deployment."""

import hashlib
import hmac
from dataclasses import dataclass


@dataclass(frozen=True, repr=False)
class Keys:
    """One key for each purpose, so that no key can be used for another purpose."""

    tokens: bytes
    invitees: bytes
    locks: bytes

    @classmethod
    def from_secret(cls, secret: str) -> "Keys":
        """Derive every key from the deployment's secret."""

        def derive(purpose: str) -> bytes:
            return hmac.new(secret.encode(), f"teamaccess/{purpose}".encode(), "sha256").digest()

        return cls(derive("tokens"), derive("invitees"), derive("locks"))

    @property
    def token_key_id(self) -> str:
        """The `kid` of the signing key. It reveals nothing about the key."""
        return hashlib.sha256(b"kid" + self.tokens).hexdigest()[:12]
