"""Service accounts: programs that are members, and their API tokens."""

from datetime import datetime, timedelta

from litestar import delete, get, post
from litestar.params import JSONBody
from litestar.status_codes import HTTP_204_NO_CONTENT

from teamaccess.api.requests.edge import changes, revokes
from teamaccess.api.requests.pages import Cursor, Limit, Page, decode, page
from teamaccess.api.requests.parameters import PathId, ServiceDependency, SignedInUser
from teamaccess.api.routes.directory.members import expiry_by_role
from teamaccess.changes import OrganizationChange
from teamaccess.directory.members.find import roles_held
from teamaccess.directory.members.listing import MemberFilter, list_members
from teamaccess.directory.service_accounts import accounts, tokens
from teamaccess.storage import ApiToken, OrganizationId, TokenId, UserId, UserKind
from teamaccess.views.directory.service_accounts import (
    NewServiceAccount,
    NewToken,
    Rotation,
    ServiceAccountView,
    TokenView,
)

SERVICE_ACCOUNTS = "/v1/organizations/{organization:str}/service-accounts"
SERVICE_ACCOUNT = SERVICE_ACCOUNTS + "/{account:str}"
TOKENS = SERVICE_ACCOUNT + "/tokens"
TOKEN = TOKENS + "/{api_token:str}"


@post(SERVICE_ACCOUNTS, operation_id="create_service_account")
@changes
async def create_service_account(
    change: OrganizationChange, data: JSONBody[NewServiceAccount]
) -> ServiceAccountView:
    """Create a service account with these roles. It signs in with its own API tokens."""
    account = await accounts.create_service_account(change, data.name, expiry_by_role(data.roles))
    users = [account.user_id]
    held = await roles_held(change.session, change.organization, users, change.now)
    return ServiceAccountView.of(account, held.get(account.user_id, ()))


@get(SERVICE_ACCOUNTS, operation_id="list_service_accounts")
async def show_service_accounts(
    organization: PathId,
    actor: SignedInUser,
    service: ServiceDependency,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[ServiceAccountView]:
    """List service accounts, the oldest first."""
    id = OrganizationId(organization)
    await service.reading.require(id, actor.id, "manage_service_accounts")
    now = await service.now()
    only_accounts = MemberFilter(kind=UserKind.SERVICE_ACCOUNT)
    found = decode(cursor)
    after = (found[0], UserId(found[1])) if found else None
    async with service.reads() as session:
        rows = await list_members(session, id, only_accounts, now, after, limit + 1)
    return page(rows, limit, lambda row: (row.joined_at, row.user_id), ServiceAccountView.listed)


@get(SERVICE_ACCOUNT, operation_id="get_service_account")
async def show_service_account(
    organization: PathId, account: PathId, actor: SignedInUser, service: ServiceDependency
) -> ServiceAccountView:
    """Return a service account."""
    id = OrganizationId(organization)
    await service.reading.require(id, actor.id, "manage_service_accounts")
    async with service.reads() as session:
        member = await accounts.get_account(session, id, UserId(account))
        held = await roles_held(session, id, [member.user_id], await service.now())
    seen = member.activity.last_active_at if member.activity else None
    return ServiceAccountView.of(member, held.get(member.user_id, ()), seen)


@delete(SERVICE_ACCOUNT, status_code=HTTP_204_NO_CONTENT, operation_id="delete_service_account")
@revokes
async def delete_service_account(account: PathId, change: OrganizationChange) -> None:
    """Delete a service account with its roles and tokens."""
    await accounts.delete(change, UserId(account))


@post(TOKENS, operation_id="create_token")
@changes
async def create_token(
    account: PathId, change: OrganizationChange, data: JSONBody[NewToken]
) -> TokenView:
    """Create a token for a service account. Only this answer contains its secret."""
    life = timedelta(days=data.expires_in_days)
    return reveal_secret_once(
        change, await tokens.issue_api_token(change, UserId(account), data.name, life)
    )


@get(TOKENS, operation_id="list_tokens")
async def show_tokens(
    organization: PathId,
    account: PathId,
    actor: SignedInUser,
    service: ServiceDependency,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Page[TokenView]:
    """List a service account's tokens, the oldest first, with ended ones and without secrets."""
    id, account_id = OrganizationId(organization), UserId(account)
    await service.reading.require(id, actor.id, "manage_service_accounts")
    async with service.reads() as session:
        await accounts.get_account(session, id, account_id)
        rows = await tokens.list_tokens(session, id, account_id, decode(cursor), limit + 1)
    return page(rows, limit, _key, TokenView.of)


@delete(TOKEN, status_code=HTTP_204_NO_CONTENT, operation_id="revoke_token")
@revokes
async def revoke_token(account: PathId, api_token: PathId, change: OrganizationChange) -> None:
    """Revoke a token at once."""
    await tokens.revoke(change, UserId(account), TokenId(api_token))


@post(TOKEN + "/rotate", operation_id="rotate_token")
@changes
async def rotate_token(
    account: PathId,
    api_token: PathId,
    change: OrganizationChange,
    data: JSONBody[Rotation | None] = None,
) -> TokenView:
    """Create a token that replaces another. The old token stays valid for the overlap."""
    rotation = data or Rotation()
    issued = await tokens.rotate(
        change,
        UserId(account),
        TokenId(api_token),
        timedelta(hours=rotation.overlap_hours),
        timedelta(days=rotation.expires_in_days),
    )
    return reveal_secret_once(change, issued)


def reveal_secret_once(change: OrganizationChange, issued: tokens.IssuedToken) -> TokenView:
    """Return the token's view. Its secret is added after the commit, so no idempotency row stores it."""
    view = TokenView.of(issued.token)

    async def after_commit() -> None:
        view.secret = issued.secret

    change.after_commit.append(after_commit)
    return view


def _key(token: ApiToken) -> tuple[datetime, str]:
    return token.created_at, token.id


routes = [
    create_service_account,
    show_service_accounts,
    show_service_account,
    delete_service_account,
    create_token,
    show_tokens,
    revoke_token,
    rotate_token,
]
