"""Tokens of the login that the deployment uses: JWTs of one OpenID issuer."""

from contextlib import suppress
from typing import Any, NoReturn

import jwt
import structlog

from teamaccess.directory.users.claims import Profile, ProfileClaims
from teamaccess.directory.users.signing_keys import (
    Jwk,
    LoginUnavailable,
    SigningKeys,
    describe_misspelling,
)
from teamaccess.directory.users.tokens import (
    LEEWAY,
    InvalidToken,
    Login,
    beginning_in,
    required,
    time_in,
)

log = structlog.get_logger()

ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
"""Algorithms with a private and a public key. With any other, everybody who can read a key could sign."""
LONGEST_SUBJECT = 255
"""OpenID Connect Core 1.0 section 2."""


class Issuer:
    """The login of this deployment, and the audience of its tokens."""

    def __init__(
        self, issuer: str, audience: str, profile_claims: ProfileClaims | None = None
    ) -> None:
        self.issuer = issuer
        self.audience = audience
        self.keys = SigningKeys(issuer)
        self._profile_claims = profile_claims or ProfileClaims()
        self._misspelt: str | None = None

    @property
    def problem(self) -> str | None:
        """Why people cannot sign in, None as long as nothing is known to be wrong."""
        return self.keys.problem or self._misspelt

    async def verify(self, token: str) -> Login:
        """Return the content of the token.

        Raises InvalidToken for one that is not the issuer's, not for us, or malformed, and
        LoginUnavailable if the issuer's keys cannot be fetched. The times in the token are not checked
        here, but later with PostgreSQL's clock.
        """
        try:
            named = named_issuer(token)
            if named != self.issuer:
                await self._refuse_other(token, named or "")
            claims = await self._signed_claims(token, self.issuer)
            self._misspelt = None
            return _login(claims, self._profile_claims.read(claims))
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, OSError) as error:
            raise InvalidToken(cause=str(error) or type(error).__name__) from None

    async def _signed_claims(self, token: str, issuer: str) -> dict[str, Any]:
        """Return the claims of a token with a valid signature of this issuer."""
        header = jwt.get_unverified_header(token)
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in ALGORITHMS:
            raise InvalidToken(cause="it is not signed with a private key")
        keys = await self.keys.find(kid, algorithm)
        if not keys:
            raise InvalidToken(cause="signed with an unknown key")
        if kid is None and len(keys) > 1:
            raise InvalidToken(
                cause=f"it does not name its key (kid), and {len(keys)} keys of its issuer fit"
            )
        for key in keys[:-1]:  # keys of one name that fit alike: any of them may have signed
            with suppress(jwt.InvalidSignatureError, jwt.InvalidKeyError, jwt.PyJWKError):
                return self._decode(token, key, algorithm, issuer)
        return self._decode(token, keys[-1], algorithm, issuer)

    def _decode(self, token: str, key: Jwk, algorithm: str, issuer: str) -> dict[str, Any]:
        return jwt.decode(
            token,
            jwt.PyJWK(key, algorithm),
            algorithms=[algorithm],
            audience=self.audience,
            issuer=issuer,
            options=required("iss", "sub", "aud", "exp", "iat"),
        )

    async def _refuse_other(self, token: str, named: str) -> NoReturn:
        """Raise InvalidToken for a token that names another issuer.

        SECURITY: anybody can write a token that names the issuer with one slash more. Only one with a
        valid signature shows that the setting is misspelt, so only that is logged and shown.
        """
        if named.rstrip("/") != self.issuer.rstrip("/"):
            raise InvalidToken(cause="its issuer is not the one that this service accepts")
        with suppress(InvalidToken, LoginUnavailable, jwt.PyJWTError, ValueError, TypeError):
            await self._signed_claims(token, named)
            if self._misspelt is None:
                self._misspelt = describe_misspelling(named, self.issuer)
                log.warning("issuer_misspelt", cause=self._misspelt)
        raise InvalidToken(
            cause=f"its issuer is {named}, and this service accepts {self.issuer}: they differ only in"
            " the slash at the end. The operator has to set TEAMACCESS_OIDC_ISSUER to the former"
        )


def named_issuer(token: str) -> str | None:
    """Return the issuer that a token names, None if it names none. It is not verified."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError):
        return None
    issuer = claims.get("iss")
    return issuer if isinstance(issuer, str) else None


def _login(claims: dict[str, Any], profile: Profile) -> Login:
    subject = claims["sub"]
    if not (0 < len(subject) <= LONGEST_SUBJECT and subject.isprintable()):
        raise ValueError("its subject is not an id")
    return Login(
        issuer=claims["iss"],
        subject=subject,
        issued_at=time_in(claims["iat"]),
        expires_at=time_in(claims["exp"]) + LEEWAY,
        email=profile.email,
        name=profile.name,
        valid_from=beginning_in(claims),
        unusable=profile.unusable,
    )
