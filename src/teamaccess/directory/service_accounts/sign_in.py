"""A service account signs in with a token of its own."""

import asyncio
from dataclasses import dataclass

import structlog
from sqlalchemy import bindparam, func, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.common.configuration.secret import hash_of, is_secret_of
from teamaccess.common.sharing.throttle import Throttle
from teamaccess.directory.users.tokens import InvalidApiToken
from teamaccess.ledger import Sessions
from teamaccess.storage import ApiToken, User

log = structlog.get_logger()

PREFIX = "ta_"
"""Marks a leaked token, for people and for programs that search for secrets."""

GRAIN_SECONDS = 60.0
PATIENCE_SECONDS = 1.0
"""How long a request waits until its token's use is noted."""
BY_HASH = (
    select(ApiToken, User, func.clock_timestamp())
    .join(User, User.id == ApiToken.user_id)
    .where(
        ApiToken.hash == bindparam("hash"),
        User.service_account_of == ApiToken.organization_id,
    )
)
"""Built once, because every request with a token executes it.

SECURITY: only a service account signs in with an API token. A person's token would survive a sign-out."""


@dataclass(frozen=True)
class SignedIn:
    """A service account, and the token that it has sent."""

    account: User
    token: ApiToken
    ended: str | None
    """Why the token is no longer valid; None if it is valid."""


async def signed_in(session: AsyncSession, secret: str) -> SignedIn:
    """Return the service account with the secret; raises InvalidApiToken if there is none."""
    row = (await session.execute(BY_HASH, {"hash": hash_of(secret)})).one_or_none()
    if row is None or not is_secret_of(row[0].hash, secret):
        raise InvalidApiToken(cause="nobody has it")
    token, account, now = row
    if token.valid(now):
        return SignedIn(account, token, None)
    return SignedIn(
        account, token, "it was revoked" if token.revoked_at is not None else "it has expired"
    )


class TokenUse:
    """Notes when tokens are used, each at most once a minute. No decision depends on it.

    SECURITY: many requests may use tokens whose rows a change has locked. A locked row is left out, and
    notes have their own connections (`Service.notes`), so that changes never wait for one.
    """

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._due = Throttle(GRAIN_SECONDS)

    async def seen(self, token: ApiToken) -> None:
        """Note that the token was just used, unless the last minute is noted already."""
        key = (token.organization_id, token.id)
        if not self._due.allows(key):
            return
        this_token = (ApiToken.organization_id == key[0], ApiToken.id == key[1])
        unlocked = select(ApiToken.id).where(*this_token).with_for_update(skip_locked=True)
        statement = update(ApiToken).where(*this_token, ApiToken.id.in_(unlocked))
        try:
            async with asyncio.timeout(PATIENCE_SECONDS), self._sessions() as session:
                await session.execute(statement.values(last_used_at=func.clock_timestamp()))
        except (SQLAlchemyError, OSError) as cause:
            # the service account stays signed in
            log.warning("token_use_not_recorded", cause=repr(cause))
