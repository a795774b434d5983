"""Tokens of a login that people have already: JWTs of one OpenID issuer."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt

from teamaccess.common.text import LONGEST_NAME, InvalidText, clean
from teamaccess.directory.users.addresses import InvalidEmail, normalise
from teamaccess.directory.users.issued import token_id
from teamaccess.directory.users.signing_keys import SigningKeys
from teamaccess.directory.users.tokens import InvalidToken
from teamaccess.storage import User

ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
"""Algorithms with a private and a public key. With any other, everybody who can read a key could sign."""
CLOCK_SKEW = timedelta(seconds=60)
"""For `exp` and `nbf`."""
LONGEST_SUBJECT = 255
"""OpenID Connect Core 1.0 section 2."""


@dataclass(frozen=True)
class Login:
    """What a valid token says of somebody."""

    issuer: str
    subject: str
    issued_at: datetime
    expires_at: datetime
    """When it is refused, with what clocks may differ."""
    email: str | None
    """Normalised; None where the issuer does not vouch for it."""
    name: str | None

    @property
    def token(self) -> bytes:
        """What identifies its token. The text does not: a signature can be written in several ways."""
        return token_id("login", self.issuer, self.subject, self.issued_at.isoformat())

    def refuse_if_ended(self, user: User) -> None:
        """Raise InvalidToken when the user's sessions were ended after this token was issued.

        Issuers write the time in whole seconds, rounded down. So a token from the second in which the
        sessions were ended is refused, whether it was issued before or after that within the second.
        """
        if self.issued_at < user.tokens_valid_from:
            raise InvalidToken(cause="its session was ended")


class Issuer:
    """The login of this deployment, and the audience of its tokens."""

    def __init__(self, issuer: str, audience: str) -> None:
        self.issuer = issuer
        self.audience = audience
        self.keys = SigningKeys(issuer)

    def is_of(self, token: str) -> bool:
        """Return whether a token says that it is this issuer's; whether it is has to be verified."""
        try:
            said = jwt.decode(token, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError, RecursionError):
            return False
        return said.get("iss") == self.issuer

    async def verify(self, token: str) -> Login:
        """Return what the token says.

        Raises InvalidToken for one that is not the issuer's, not for us, or has ended, and
        LoginUnavailable where the issuer's keys are not to be had.
        """
        try:
            header = jwt.get_unverified_header(token)
            algorithm, kid = header.get("alg"), header.get("kid")
            if algorithm not in ALGORITHMS:
                raise InvalidToken(cause="it is not signed with a private key")
            key = await self.keys.find(kid) if isinstance(kid, str) else None
            if key is None or key.get("alg", algorithm) != algorithm:
                raise InvalidToken(cause="signed with an unknown key")
            claims = jwt.decode(
                token,
                jwt.PyJWK(key, algorithm),
                algorithms=[algorithm],
                audience=self.audience,
                issuer=self.issuer,
                leeway=CLOCK_SKEW,
                options={
                    "require": ["iss", "sub", "aud", "exp", "iat"],
                    "verify_iat": False,  # by PostgreSQL's clock: `issued.wait_until_issued`
                },
            )
            return _login(claims)
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, OSError) as error:
            raise InvalidToken(cause=str(error) or type(error).__name__) from None


def _login(claims: dict[str, Any]) -> Login:
    subject = claims["sub"]
    if not (0 < len(subject) <= LONGEST_SUBJECT and subject.isprintable()):
        raise ValueError("its subject is no id")
    return Login(
        issuer=claims["iss"],
        subject=subject,
        issued_at=datetime.fromtimestamp(claims["iat"], UTC),
        expires_at=datetime.fromtimestamp(claims["exp"], UTC) + CLOCK_SKEW,
        email=_address(claims.get("email")) if claims.get("email_verified") is True else None,
        name=_name(claims.get("name")),
    )


def _address(said: object) -> str | None:
    try:
        return normalise(said) if isinstance(said, str) else None
    except InvalidEmail:
        return None


def _name(said: object) -> str | None:
    try:
        return clean("name", said, LONGEST_NAME) if isinstance(said, str) else None
    except InvalidText:
        return None
