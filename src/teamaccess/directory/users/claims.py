"""What a login's token contains about a person: the claims of one issuer, read by its settings."""

from dataclasses import dataclass
from typing import Any

from teamaccess.common.configuration.settings import Settings
from teamaccess.common.text import LONGEST_NAME, InvalidText, clean
from teamaccess.directory.users.addresses import InvalidEmail, normalize_email


@dataclass(frozen=True)
class Profile:
    """The address and the name that a token vouches for."""

    email: str | None
    """Normalized. None if the issuer does not vouch for one."""
    name: str | None
    unusable: tuple[str, ...] = ()
    """`email` or `name`, if the token has a text there that this service cannot use."""


@dataclass(frozen=True)
class ProfileClaims:
    """Which claims of an issuer's tokens contain address and name, and when the address is trusted."""

    email: str = "email"
    email_verified: str = "email_verified"
    name: str = "name"
    trust_email: bool = False
    """Trust an address without the claim `email_verified`. One that the claim denies is never trusted."""
    email_verified_as_text: bool = False
    """Count the text `"true"` as true."""

    @classmethod
    def from_settings(cls, settings: Settings) -> "ProfileClaims":
        """Return what the operator set for the issuer."""
        return cls(
            settings.oidc_email_claim,
            settings.oidc_email_verified_claim,
            settings.oidc_name_claim,
            settings.oidc_trust_email,
            settings.oidc_email_verified_as_text,
        )

    def read(self, claims: dict[str, Any]) -> Profile:
        """Return the profile in a token's claims. An empty text counts as absent."""
        unusable = []
        email = name = None
        if self._is_verified(claims.get(self.email_verified)):
            email, usable = _address(claims.get(self.email))
            unusable += [] if usable else ["email"]
        name, usable = _name(claims.get(self.name))
        unusable += [] if usable else ["name"]
        return Profile(email, name, tuple(unusable))

    def _is_verified(self, value: object) -> bool:
        if value is None:
            return self.trust_email
        return value is True or (self.email_verified_as_text and value == "true")


def _address(value: object) -> tuple[str | None, bool]:
    """Return the address, and whether the claim could be used."""
    if value is None or value == "":
        return None, True
    try:
        return (normalize_email(value), True) if isinstance(value, str) else (None, False)
    except InvalidEmail:
        return None, False


def _name(value: object) -> tuple[str | None, bool]:
    """Return the name, and whether the claim could be used."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None, True
    try:
        cleaned = clean("name", value, LONGEST_NAME) if isinstance(value, str) else None
    except InvalidText:
        return None, False
    return cleaned, cleaned is not None
