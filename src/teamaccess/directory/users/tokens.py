"""Access tokens: signed, short-lived, refused from the moment a user's sessions are ended."""

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import jwt

from teamaccess.directory.users.issued import InvalidToken, token_id
from teamaccess.directory.users.keys import Keys
from teamaccess.storage import User

__all__ = [
    "LONGEST_LIFE",
    "Audience",
    "Claims",
    "InvalidToken",
    "issue_access_token",
    "verify_access_token",
]

LONGEST_LIFE = timedelta(hours=12)
CLOCK_SKEW = timedelta(seconds=10)
SUBJECT = re.compile(r"[\w@.+-]{1,100}")
"""A user's id or an operator's name; both are written into the chains."""


class Audience(StrEnum):
    """What a token is good for."""

    USER = "teamaccess"
    OPERATOR = "teamaccess-operator"


@dataclass(frozen=True)
class Claims:
    """What a valid token says."""

    audience: Audience
    subject: str
    issued_at: datetime
    expires_at: datetime
    """When it is refused, with what clocks may differ."""
    token: bytes
    """What identifies the token (`issued.token_id`)."""

    def refuse_if_ended(self, user: User) -> None:
        """Raise InvalidToken when the user's sessions were ended after this token was issued.

        Linking a login ends them too: the person who proves the address to the login may not be the one
        who used the account so far.
        """
        if self.issued_at < max(user.tokens_valid_from, user.linked_at or user.tokens_valid_from):
            raise InvalidToken(cause="its session was ended")


def issue_access_token(
    keys: Keys, audience: Audience, subject: str, now: datetime, life: timedelta
) -> str:
    """Return a signed token for `life`, twelve hours at most.

    `now` is the database's clock, against which ended sessions are judged, to the microsecond.
    """
    claims = {
        "aud": audience,
        "sub": subject,
        "iat": now.timestamp(),
        "exp": int((now + min(life, LONGEST_LIFE)).timestamp()),
        "jti": secrets.token_hex(16),
    }
    return jwt.encode(claims, keys.tokens, "HS256", headers={"kid": keys.token_key_id})


def verify_access_token(keys: Keys, token: str) -> Claims:
    """Return what the token says; raises InvalidToken for one that is not ours or has ended."""
    try:
        verified = jwt.decode_complete(
            token,
            keys.tokens,
            algorithms=["HS256"],
            audience=list(Audience),
            leeway=CLOCK_SKEW,
            options={
                "require": ["aud", "sub", "iat", "exp", "jti"],
                "verify_iat": False,  # by PostgreSQL's clock: `issued.wait_until_issued`
            },
        )
        claims = verified["payload"]
        if verified["header"].get("kid") != keys.token_key_id:
            raise InvalidToken(cause="signed with another key")
        if not SUBJECT.fullmatch(claims["sub"]):
            raise InvalidToken(cause="its subject is no id")
        return Claims(
            Audience(claims["aud"]),
            claims["sub"],
            datetime.fromtimestamp(claims["iat"], UTC),
            datetime.fromtimestamp(claims["exp"], UTC) + CLOCK_SKEW,
            token_id("own", claims["sub"], str(claims["iat"]), str(claims["jti"])),
        )
    except (jwt.InvalidTokenError, ValueError, TypeError, OverflowError, OSError) as error:
        raise InvalidToken(cause=str(error) or type(error).__name__) from None
