"""Verify a bearer token: one of ours, a service account's, or an OpenID Connect provider's."""

from dataclasses import replace

from teamaccess.api.identity.callers import Caller, Operator
from teamaccess.changes.events.users import SignInRefused
from teamaccess.directory.service_accounts.sign_in import PREFIX, signed_in
from teamaccess.directory.users.early_tokens import (
    effective_issue_time,
    note_early,
    wait_until_issued,
)
from teamaccess.directory.users.find import user_and_clock
from teamaccess.directory.users.issuer import Issuer, named_issuer
from teamaccess.directory.users.logins import (
    SignInAgain,
    first_sign_in,
    later_sign_in,
    login_user_and_clock,
)
from teamaccess.directory.users.profiles import (
    AddressHasAnotherLogin,
    ProfileBusy,
    differs,
    log_unusable_claims,
)
from teamaccess.directory.users.tokens import (
    Audience,
    Claims,
    Credential,
    InvalidApiToken,
    InvalidToken,
    Login,
    refuse_unless_current,
    verify_access_token,
)
from teamaccess.ledger import Attribution
from teamaccess.service import Service
from teamaccess.storage import Channel, User, UserId


async def authenticate_token(
    service: Service, token: str, request_id: str
) -> tuple[Caller, Credential]:
    """Return the token's caller and its verified content.

    Raises InvalidToken and InvalidApiToken, and LoginUnavailable if the OpenID Connect provider's keys
    cannot be fetched.
    """
    if token.startswith(PREFIX):
        return await _authenticate_service_account(service, token, request_id)
    if named_issuer(token) is not None:  # our own tokens name none
        if service.issuer is None:
            raise InvalidToken(cause="it is of an OpenID issuer, and this service accepts none")
        return await _authenticate_login(service, service.issuer, token, request_id)
    claims = verify_access_token(service.keys, token)
    if claims.audience is Audience.OPERATOR:
        now = await service.now()
        refuse_unless_current(claims, now)
        await wait_until_issued(claims.issued_at, now)
        return Operator(claims.subject), claims
    user, claims = await _user_of(service, claims)
    # a service account signs in only with API tokens, so it cannot be the user of this kind of token
    if user is None or user.is_service_account:
        cause = "its user does not exist"
        # SECURITY: the subject of an unknown user is free text, which no chain may record as an actor
        await _record_refusal(service, "anonymous", request_id, cause)
        raise InvalidToken(cause=cause)
    await _refuse_if_ended(service, claims, user, request_id)
    return user, claims


async def _user_of(service: Service, claims: Claims) -> tuple[User | None, Claims]:
    """Wait until the token's time of issue, and return the user then.

    In the returned claims, `issued_at` is the latest possible time of issue. Raises InvalidToken.
    """
    while True:
        async with service.reads() as session:
            found = await user_and_clock(session, UserId(claims.subject), claims.token)
            if found is None:
                return None, claims
            refuse_unless_current(claims, found.now)
            await note_early(session, claims.token, claims.issued_at, claims.expires_at, found.now)
        if not await wait_until_issued(claims.issued_at, found.now):
            issued_at = effective_issue_time(claims.issued_at, found.first_used)
            return found.user, replace(claims, issued_at=issued_at)


async def _user_with_login(service: Service, login: Login) -> tuple[User | None, Login]:
    """Wait until the token's time of issue, and return the user with this login then.

    In the returned login, `issued_at` is the latest possible time of issue. Raises InvalidToken.
    """
    token = login.token
    while True:
        async with service.reads() as session:
            found = await login_user_and_clock(session, login, token)
            refuse_unless_current(login, found.now)
            await note_early(session, token, login.issued_at, login.expires_at, found.now)
        if not await wait_until_issued(login.issued_at, found.now):
            return found.user, replace(
                login, issued_at=effective_issue_time(login.issued_at, found.first_used)
            )


async def _authenticate_service_account(
    service: Service, secret: str, request_id: str
) -> tuple[Caller, Credential]:
    async with service.reads() as session:
        found = await signed_in(session, secret)
    if found.ended is not None:
        await _record_refusal(service, f"user:{found.account.id}", request_id, found.ended)
        raise InvalidApiToken(cause=found.ended)
    await service.token_use.seen(found.token)
    return found.account, found.token


async def _authenticate_login(
    service: Service, issuer: Issuer, token: str, request_id: str
) -> tuple[Caller, Credential]:
    login = await issuer.verify(token)
    user, login = await _user_with_login(service, login)
    if user is not None:
        await _refuse_if_ended(service, login, user, request_id)
    if user is None or differs(user, login):
        user = await _follow_login(service, user, login, request_id)
        await _refuse_if_ended(service, login, user, request_id)
    log_unusable_claims(user, login)
    return user, login


async def _follow_login(service: Service, user: User | None, login: Login, request_id: str) -> User:
    """Create the user of the login, or update their address and name. Raises AddressHasAnotherLogin."""
    actor = f"user:{user.id}" if user is not None else "anonymous"
    try:
        async with service.ledger.change(Attribution(actor, Channel.API, request_id)) as change:
            if user is None:
                followed = await first_sign_in(change, login)
            else:
                followed = await later_sign_in(change, user.id, login)
            await service.ledger.commit(change)
    except ProfileBusy:
        if user is None:
            raise SignInAgain from None
        return user
    except AddressHasAnotherLogin as refused:
        await _record_refusal(service, actor, request_id, refused.code)
        raise
    return followed


async def _refuse_if_ended(
    service: Service, credential: Claims | Login, user: User, request_id: str
) -> None:
    try:
        credential.refuse_if_ended(user)
    except InvalidToken as refused:
        await _record_refusal(service, f"user:{user.id}", request_id, refused.facts["cause"])
        raise


async def _record_refusal(service: Service, actor: str, request_id: str, cause: object) -> None:
    attributed = Attribution(actor, Channel.API, request_id)
    await service.refusals.record(
        attributed,
        SignInRefused(cause=str(cause)),
    )
