"""The tokens of service accounts: made, listed, replaced, revoked."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.access.giving import refuse_bad_end
from teamaccess.changes import Change
from teamaccess.changes.events import record
from teamaccess.common.errors import Conflict, NotFound
from teamaccess.common.text import LONGEST_NAME, clean
from teamaccess.directory.caps import refuse_full
from teamaccess.directory.service_accounts.keep import under
from teamaccess.directory.service_accounts.secret import hash_of, new_secret
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
    """The service account {account} of {organization} has no token {token}."""


class TokenEnded(Conflict):
    """The token {token} has ended already; make a new one."""


@dataclass(frozen=True, repr=False)
class Issued:
    """A token with its secret; the only place where the secret is."""

    token: ApiToken
    secret: str


async def issue(
    change: Change,
    actor: UserId,
    organization: OrganizationId,
    account: UserId,
    name: str,
    life: timedelta,
) -> Issued:
    """Make a token with which one is the service account; return it with its secret.

    Raises what `keep.under` does, EndTooFar, InvalidText and LimitReached.
    """
    await under(change, actor, organization, account)
    name = clean("name", name, LONGEST_NAME)
    await _refuse_full(change, organization, account)
    issued = _make(change, organization, account, name, life)
    await _told(change, "token_created", issued.token)
    return issued


async def rotate(
    change: Change,
    actor: UserId,
    organization: OrganizationId,
    account: UserId,
    id: TokenId,
    overlap: timedelta,
    life: timedelta,
) -> Issued:
    """Make a token in place of another, which ends after the overlap; return the new one.

    It is giving, as making one is. Raises TokenEnded for one that has ended already.
    """
    await under(change, actor, organization, account)
    old = await _get(change.session, organization, account, id)
    if not old.valid(change.now):
        raise TokenEnded(token=id)
    await _refuse_full(change, organization, account)
    issued = _make(change, organization, account, old.name, life)
    old.expires_at = min(old.expires_at, change.now + overlap)
    await _told(change, "token_rotated", issued.token, replaces=id, until=old.expires_at)
    return issued


async def revoke(
    change: Change, actor: UserId, organization: OrganizationId, account: UserId, id: TokenId
) -> None:
    """End a token at once."""
    await under(change, actor, organization, account)
    token = await _get(change.session, organization, account, id)
    if token.revoked_at is not None:
        raise TokenEnded(token=id)
    token.revoked_at = change.now
    await _told(change, "token_revoked", token)


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


async def _refuse_full(change: Change, organization: OrganizationId, account: UserId) -> None:
    valid = select(literal(1)).where(
        ApiToken.organization_id == organization,
        ApiToken.user_id == account,
        ApiToken.revoked_at.is_(None),
        ApiToken.expires_at > change.now,
    )
    await refuse_full(change, organization, "tokens_per_service_account", valid)


def _make(
    change: Change, organization: OrganizationId, account: UserId, name: str, life: timedelta
) -> Issued:
    until = change.now + life
    refuse_bad_end(change.catalog, until, change.now)
    secret = new_secret()
    token = ApiToken(
        organization_id=organization,
        id=new_token_id(),
        user_id=account,
        name=name,
        hash=hash_of(secret),
        created_at=change.now,
        created_by=change.attribution.actor,
        expires_at=until,
        last_used_at=None,
        revoked_at=None,
    )
    change.session.add(token)
    return Issued(token, secret)


async def _get(
    session: AsyncSession, organization: OrganizationId, account: UserId, id: TokenId
) -> ApiToken:
    token = await session.get(ApiToken, (organization, id)) if is_local_id(id) else None
    if token is None or token.user_id != account:
        raise UnknownToken(token=id, account=account, organization=organization)
    return token


async def _told(
    change: Change,
    kind: str,
    token: ApiToken,
    replaces: TokenId | None = None,
    until: datetime | None = None,
) -> None:
    details = {"token": token.id, "expires_at": token.expires_at.isoformat()}
    if replaces is not None and until is not None:
        details |= {"replaces": replaces, "replaced_until": until.isoformat()}
    await record(change, kind, token.organization_id, f"user:{token.user_id}", **details)
