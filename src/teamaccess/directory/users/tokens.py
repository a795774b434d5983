"""Tokens: what they contain, and whether they are still valid.

Our own access tokens live twelve hours at most. `issuer` reads the tokens of the OpenID issuer. Both are
refused from the moment a user's sessions are ended. All times are compared with PostgreSQL's clock.
"""

import hashlib
import json
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

import jwt
from jwt.types import Options
from sqlalchemy import and_, select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.common.errors import Invalid, Unauthenticated
from teamaccess.directory.users.keys import Keys
from teamaccess.storage import ApiToken, User, UserId

LEEWAY = timedelta(seconds=60)
"""How long before its beginning and after its end a token is accepted, be it ours or an issuer's."""
LONGEST_LIFE = timedelta(hours=12)
SUBJECT = re.compile(r"[\w@.+-]{1,100}")
"""A user's id or an operator's name. Both are written into the chains."""


class InvalidToken(Unauthenticated):
    """The access token is malformed, expired, revoked, or from before a sign-out; `cause` says which."""

    message = "The access token is not valid ({cause}). Sign in again."


class InvalidApiToken(Unauthenticated):
    """The API token is unknown, expired or revoked; `cause` says which."""

    message = "The API token is not valid ({cause}). Make a new one for the service account."


class InvalidSubject(Invalid):
    """A token is requested for a name that no token may have, so it would never be accepted."""

    message = (
        "{subject!r} can't have a token. Use a name of 1 to 100 letters, digits, and the "
        "characters _ @ . + -."
    )


class Audience(StrEnum):
    """The purpose of a token."""

    USER = "teamaccess"
    OPERATOR = "teamaccess-operator"


@dataclass(frozen=True)
class Claims:
    """The content of a valid token of ours."""

    audience: Audience
    subject: str
    issued_at: datetime
    expires_at: datetime
    """When it is refused, including the leeway."""
    token: bytes
    """What identifies the token (`token_id`)."""
    valid_from: datetime | None = None
    """From when it is accepted. None: from its time of issue, as for all tokens that we issue."""

    def refuse_if_ended(self, user: User) -> None:
        """Raise InvalidToken when the user's sessions were ended after this token was issued.

        Linking a login ends them too: the person who proves the address to the login may not be the one
        who used the account so far.
        """
        if self.issued_at < max(user.tokens_valid_from, user.linked_at or user.tokens_valid_from):
            raise InvalidToken(cause="its session was ended")


@dataclass(frozen=True)
class Login:
    """The content of a valid token of the OpenID issuer."""

    issuer: str
    subject: str
    issued_at: datetime
    expires_at: datetime
    """When it is refused, including the leeway."""
    email: str | None
    """Normalized; None where the issuer does not vouch for it."""
    name: str | None
    valid_from: datetime | None = None
    """From when it is accepted, including the leeway. None: from its time of issue."""
    unusable: tuple[str, ...] = ()
    """The claims `email` and `name`, if the token has a text there that this service cannot use."""

    @property
    def token(self) -> bytes:
        """What identifies its token. The text does not: a signature can be written in several ways."""
        return token_id("login", self.issuer, self.subject, self.issued_at.isoformat())

    def refuse_if_ended(self, user: User) -> None:
        """Raise InvalidToken when the user's sessions were ended after this token was issued.

        Issuers write the time in whole seconds, rounded down. So a token from the second in which the
        sessions were ended is refused, even if it was issued after them.
        """
        if self.issued_at < user.tokens_valid_from:
            raise InvalidToken(cause="its session was ended")


Credential = Claims | Login | ApiToken | None
"""A verified token: one of ours, one of the OpenID Connect provider, or a service account's."""


async def require_valid_credential(
    session: AsyncSession, credential: Credential, now: datetime
) -> None:
    """Raise InvalidToken or InvalidApiToken if the credential is no longer valid.

    `session` must see what is committed at this moment. No row is locked, because one tenant's change
    must not wait for a row that other tenants share.
    """
    match credential:
        case ApiToken():
            query = select(ApiToken).where(
                ApiToken.organization_id == credential.organization_id, ApiToken.id == credential.id
            )
            fresh = query.execution_options(populate_existing=True)
            token = (await session.scalars(fresh)).one_or_none()
            if token is None or not token.valid(now):
                raise InvalidApiToken(cause="it has ended")
        case Claims() | Login():
            refuse_unless_current(credential, now)
            if isinstance(credential, Claims) and credential.audience is Audience.OPERATOR:
                return
            user = await _owner_of(session, credential)
            if user is None:
                raise InvalidToken(cause="its user does not exist")
            credential.refuse_if_ended(user)


async def _owner_of(session: AsyncSession, credential: Claims | Login) -> User | None:
    if isinstance(credential, Claims):
        is_owner = User.id == UserId(credential.subject)
    else:
        is_owner = and_(User.issuer == credential.issuer, User.subject == credential.subject)
    fresh = select(User).where(is_owner).execution_options(populate_existing=True)
    return (await session.scalars(fresh)).one_or_none()


class Lifetime(Protocol):
    """The times between which a token is accepted, with the leeway."""

    @property
    def valid_from(self) -> datetime | None:
        """From when it is accepted. None: from its time of issue."""

    @property
    def expires_at(self) -> datetime:
        """When it is refused."""


def refuse_unless_current(token: Lifetime, now: datetime) -> None:
    """Raise InvalidToken for a token that has expired, or is not valid yet."""
    if token.expires_at <= now:
        raise InvalidToken(cause="it has expired")
    if token.valid_from is not None and token.valid_from > now:
        raise InvalidToken(cause="it is not valid yet")


def issue_access_token(
    keys: Keys, audience: Audience, subject: str, now: datetime, life: timedelta
) -> str:
    """Return a signed token for `life`, twelve hours at most.

    `now` is the database's clock, with which the ends of sessions are compared, to the microsecond.
    Raises InvalidSubject.
    """
    if not SUBJECT.fullmatch(subject):
        raise InvalidSubject(subject=subject)
    claims = {
        "aud": audience,
        "sub": subject,
        "iat": now.timestamp(),
        "exp": int((now + min(life, LONGEST_LIFE)).timestamp()),
        "jti": secrets.token_hex(16),
    }
    return jwt.encode(claims, keys.tokens, "HS256", headers={"kid": keys.token_key_id})


def verify_access_token(keys: Keys, token: str) -> Claims:
    """Return the content of the token. Raises InvalidToken for one that is not ours.

    `refuse_unless_current` and `early_tokens.wait_until_issued` check its times.
    """
    try:
        verified = jwt.decode_complete(
            token,
            keys.tokens,
            algorithms=["HS256"],
            audience=list(Audience),
            options=required("aud", "sub", "iat", "exp", "jti"),
        )
        claims = verified["payload"]
        if verified["header"].get("kid") != keys.token_key_id:
            raise InvalidToken(cause="signed with another key")
        if not SUBJECT.fullmatch(claims["sub"]):
            raise InvalidToken(cause="its subject is not an id")
        return Claims(
            Audience(claims["aud"]),
            claims["sub"],
            time_in(claims["iat"]),
            time_in(claims["exp"]) + LEEWAY,
            token_id("own", claims["sub"], str(claims["iat"]), str(claims["jti"])),
            beginning_in(claims),
        )
    except (jwt.InvalidTokenError, ValueError, TypeError, OverflowError, OSError) as error:
        raise InvalidToken(cause=str(error) or type(error).__name__) from None


def required(*claims: str) -> Options:
    """Return PyJWT's options that require these claims, and leave their times to this module.

    There is one clock, PostgreSQL's: all processes share it, and it is the one that ends sessions.
    """
    return {
        "require": list(claims),
        "verify_exp": False,
        "verify_nbf": False,
        "verify_iat": False,
    }


def time_in(claim: Any) -> datetime:
    """Return the time of a claim, in seconds since 1970.

    Raises TypeError, ValueError, OverflowError and OSError for anything else.
    """
    return datetime.fromtimestamp(claim, UTC)


def beginning_in(claims: dict[str, Any]) -> datetime | None:
    """Return when a token with these claims is accepted, None for one without a beginning (`nbf`)."""
    return time_in(claims["nbf"]) - LEEWAY if claims.get("nbf") is not None else None


def token_id(kind: str, *about: str) -> bytes:
    """Return what identifies a token among the early ones. It is not a secret."""
    return hashlib.sha256(json.dumps([kind, *about]).encode()).digest()
