"""Access tokens: signed, short-lived, refused from the moment a user's sessions are ended."""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import jwt

from teamaccess.common.errors import Invalid
from teamaccess.directory.users.issued import (
    LEEWAY,
    InvalidToken,
    beginning_in,
    required,
    time_in,
    token_id,
)
from teamaccess.directory.users.keys import Keys
from teamaccess.storage import User

__all__ = [
    "LONGEST_LIFE",
    "Audience",
    "Claims",
    "InvalidSubject",
    "InvalidToken",
    "issue_access_token",
    "verify_access_token",
]

LONGEST_LIFE = timedelta(hours=12)
SUBJECT = re.compile(r"[\w@.+-]{1,100}")
"""A user's id or an operator's name. Both are written into the chains."""


class InvalidSubject(Invalid):
    """A token is issued for a name that no token may have, so it would never be accepted."""

    message = (
        "{subject!r} can't have a token. Use a name of 1 to 100 letters, digits, and the "
        "characters _ @ . + -."
    )


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
    valid_from: datetime | None = None
    """When it is accepted. None from its time of issue, as for all tokens that we issue."""

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

    `now` is the database's clock, against which ended sessions are judged, to the microsecond. Raises
    InvalidSubject.
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
    """Return what the token says. Raises InvalidToken for one that is not ours.

    Its times are judged by PostgreSQL's clock: `issued.refuse_unless_current` and `wait_until_issued`.
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
