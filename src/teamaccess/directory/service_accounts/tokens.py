"""The tokens of service accounts: create, list, rotate and revoke them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.access.own_access import people_behind_token
from teamaccess.changes import OrganizationChange
from teamaccess.changes.caps import refuse_full
from teamaccess.changes.events import record
from teamaccess.changes.events.service_accounts import TokenCreated, TokenRevoked, TokenRotated
from teamaccess.common.configuration.secret import hash_of, new_secret
from teamaccess.common.errors import Conflict, NotFound
from teamaccess.common.text import LONGEST_NAME, clean
from teamaccess.directory.service_accounts.accounts import authorize_on_account
from teamaccess.directory.service_accounts.sign_in import PREFIX
from teamaccess.storage import (
    ApiToken,
    OrganizationId,
    TokenId,
    UserId,
    is_local_id,
    new_token_id,
)

DEFAULT_DAYS = 90
DEFAULT_OVERLAP_HOURS = 24
LONGEST_OVERLAP_HOURS = 7 * 24


class UnknownToken(NotFound):
    """The service account has no such token."""

    message = "The service account {account} of {organization} has no token {token}."


class TokenEnded(Conflict):
    """The token has expired or was revoked."""

    message = "The token {token} has expired or was revoked. Make a new one."


@dataclass(frozen=True, repr=False)
class IssuedToken:
    """A token with its secret; the secret is kept nowhere else."""

    token: ApiToken
    secret: str


async def issue_api_token(
    change: OrganizationChange, account: UserId, name: str, life: timedelta
) -> IssuedToken:
    """Create a token of a service account; return it with its secret.

    Raises what `authorize_on_account` does, InvalidText and LimitReached.
    """
    await authorize_on_account(change, account, [change.now + life])
    name = clean("name", name, LONGEST_NAME)
    await _refuse_full(change, account)
    issued = await _create(change, account, name, life)
    details = TokenCreated(token=issued.token.id, expires_at=issued.token.expires_at)
    await record(change, details, change.organization, account)
    return issued


async def rotate(
    change: OrganizationChange,
    account: UserId,
    id: TokenId,
    overlap: timedelta,
    life: timedelta,
) -> IssuedToken:
    """Create a token that replaces another one, which ends after the overlap; return the new one.

    It needs the same rights as creating a token. Raises what `authorize_on_account` does, UnknownToken,
    LimitReached, and TokenEnded for a token that has ended already.
    """
    await authorize_on_account(change, account, [change.now + life])
    old = await _get(change, account, id)
    if not old.valid(change.now):
        raise TokenEnded(token=id)
    await _refuse_full(change, account)
    issued = await _create(change, account, old.name, life)
    old.expires_at = min(old.expires_at, change.now + overlap)
    details = TokenRotated(
        token=issued.token.id,
        expires_at=issued.token.expires_at,
        replaces=id,
        replaced_until=old.expires_at,
    )
    await record(change, details, change.organization, account)
    return issued


async def revoke(change: OrganizationChange, account: UserId, id: TokenId) -> None:
    """End a token at once; raises what `authorize_on_account` does, UnknownToken and TokenEnded."""
    await authorize_on_account(change, account)
    token = await _get(change, account, id)
    if token.revoked_at is not None:
        raise TokenEnded(token=id)
    token.revoked_at = change.now
    details = TokenRevoked(token=token.id, expires_at=token.expires_at)
    await record(change, details, change.organization, account)


async def list_tokens(
    session: AsyncSession,
    organization: OrganizationId,
    account: UserId,
    after: tuple[datetime, str] | None,
    limit: int,
) -> Sequence[ApiToken]:
    """Return at most `limit` tokens, ended ones too, the oldest first."""
    rows = (
        select(ApiToken)
        .where(ApiToken.organization_id == organization, ApiToken.user_id == account)
        .order_by(ApiToken.created_at, ApiToken.id)
        .limit(limit)
    )
    if after is not None:
        rows = rows.where(tuple_(ApiToken.created_at, ApiToken.id) > after)
    return (await session.scalars(rows)).all()


async def _refuse_full(change: OrganizationChange, account: UserId) -> None:
    valid = select(literal(1)).where(
        ApiToken.organization_id == change.organization,
        ApiToken.user_id == account,
        ApiToken.revoked_at.is_(None),
        ApiToken.expires_at > change.now,
    )
    await refuse_full(change, "tokens_per_service_account", valid)


async def _create(
    change: OrganizationChange, account: UserId, name: str, life: timedelta
) -> IssuedToken:
    secret = new_secret(PREFIX)
    behind = await people_behind_token(change, account)
    token = ApiToken(
        organization_id=change.organization,
        id=new_token_id(),
        user_id=account,
        name=name,
        hash=hash_of(secret),
        created_at=change.now,
        created_by=change.attribution.actor,
        people=sorted(behind.people),
        people_until=behind.until,
        expires_at=change.now + life,
        last_used_at=None,
        revoked_at=None,
    )
    change.session.add(token)
    return IssuedToken(token, secret)


async def _get(change: OrganizationChange, account: UserId, id: TokenId) -> ApiToken:
    token: ApiToken | None = None
    if is_local_id(id):
        key = (change.organization, id)
        token = await change.session.get(ApiToken, key, populate_existing=True)
    if token is None or token.user_id != account:
        raise UnknownToken(token=id, account=account, organization=change.organization)
    return token
