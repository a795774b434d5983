"""Whose a bearer token is: one of ours, a service account's, or another login's."""

from teamaccess.api.identity.callers import Caller, Operator, Shown
from teamaccess.changes.events.users import SignInRefused
from teamaccess.directory.service_accounts.sign_in import PREFIX, InvalidApiToken, signed_in
from teamaccess.directory.users.find import user_and_clock
from teamaccess.directory.users.issued import wait_until_issued
from teamaccess.directory.users.issuer import Issuer, Login
from teamaccess.directory.users.logins import first_sign_in, known_and_clock
from teamaccess.directory.users.tokens import Audience, Claims, InvalidToken, verify_access_token
from teamaccess.ledger import Attribution
from teamaccess.service import Service
from teamaccess.storage import Channel, User, UserId


async def authenticate_token(service: Service, token: str, request_id: str) -> tuple[Caller, Shown]:
    """Return who has the token, and what it says.

    Raises InvalidToken and InvalidApiToken, and LoginUnavailable where a login's keys are not to be had.
    """
    if token.startswith(PREFIX):
        return await _machine(service, token, request_id)
    if service.issuer is not None and service.issuer.is_of(token):
        return await _elsewhere(service, service.issuer, token, request_id)
    claims = verify_access_token(service.keys, token)
    if claims.audience is Audience.OPERATOR:
        await wait_until_issued(claims.issued_at, await service.now())
        return Operator(claims.subject), claims
    user = await _user_of(service, claims)
    if user is None or user.is_service_account:  # which signs in with tokens of its own alone
        cause = "its user does not exist"
        # SECURITY: a subject that is nobody's is a free choice, and must not be an actor in a chain
        await _refused(service, "anonymous", request_id, cause)
        raise InvalidToken(cause=cause)
    await _refuse_if_ended(service, claims, user, request_id)
    return user, claims


async def _user_of(service: Service, claims: Claims) -> User | None:
    """Return the user as they are when the token's time of issue has come; raises InvalidToken."""
    while True:
        async with service.reads() as session:
            found = await user_and_clock(session, UserId(claims.subject))
        if found is None:
            return None
        user, now = found
        if not await wait_until_issued(claims.issued_at, now):
            return user


async def _known(service: Service, issuer: Issuer, login: Login) -> tuple[User | None, Login]:
    """Return the user with the login when the token's time of issue has come; raises InvalidToken.

    The login is returned with the time by which its token was issued.
    """
    while True:
        async with service.reads() as session:
            user, now = await known_and_clock(session, login)
        dated = issuer.dated(login, now)
        if not await wait_until_issued(login.issued_at, now):
            return user, dated


async def _machine(service: Service, secret: str, request_id: str) -> tuple[Caller, Shown]:
    async with service.reads() as session:
        found = await signed_in(session, secret)
    if found.ended is not None:
        await _refused(service, f"user:{found.account.id}", request_id, found.ended)
        raise InvalidApiToken(cause=found.ended)
    await service.token_use.seen(found.token)
    return found.account, found.token


async def _elsewhere(
    service: Service, issuer: Issuer, token: str, request_id: str
) -> tuple[Caller, Shown]:
    login = await issuer.verify(token)
    user, login = await _known(service, issuer, login)
    if user is None:
        who = Attribution("anonymous", Channel.API, request_id)
        async with service.ledger.change(who) as change:
            user = await first_sign_in(change, login)
            await service.ledger.commit(change)
    await _refuse_if_ended(service, login, user, request_id)
    return user, login


async def _refuse_if_ended(
    service: Service, said: Claims | Login, user: User, request_id: str
) -> None:
    try:
        said.refuse_if_ended(user)
    except InvalidToken as refused:
        await _refused(service, f"user:{user.id}", request_id, refused.facts["cause"])
        raise


async def _refused(service: Service, actor: str, request_id: str, cause: object) -> None:
    who = Attribution(actor, Channel.API, request_id)
    await service.refusals.record(
        who,
        SignInRefused(cause=str(cause)),
    )
