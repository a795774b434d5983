"""A user's address, name and external id follow what their login says of them.

A user has the address that their newest token vouches for. So an address that they give up is free for
its next owner, who gets nothing of theirs: memberships belong to the user, not to the address.
"""

import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.changes import Change
from teamaccess.changes.events import EventKind, record
from teamaccess.changes.events.users import UserProfileChanged
from teamaccess.common.errors import Conflict
from teamaccess.common.postgres.connect import sqlstate, violated_constraint
from teamaccess.common.sharing.throttle import Throttle
from teamaccess.directory.users.own_events import may_record
from teamaccess.directory.users.tokens import Login
from teamaccess.ledger.session import LOCK_NOT_AVAILABLE
from teamaccess.storage import Event, User, UserId

log = structlog.get_logger()

SHORT_WAIT = text("SET LOCAL lock_timeout = '50ms'")
"""SECURITY: changes of all organizations lock users. A request that only reads must not wait for them."""
ADDRESS_KEY = "users_email_key"
"""The constraint that two users never have one address."""
_LOGGED = Throttle(3600)


class AddressHasAnotherLogin(Conflict):
    """The address that the login vouches for belongs to another user.

    Nobody is linked without an operator, because a mailbox may have a new owner.
    """

    message = (
        "The address {email} belongs to another user with another login. If you are that "
        "user, an operator of this service can give them your login: `teamaccess operator link-login "
        "{address} {login} --reason TEXT`. If the mailbox has a new owner, `teamaccess operator "
        "release-address {address} --reason TEXT` makes the address free."
    )
    longest_quote = 800  # a command that was cut is useless, and issuer and subject have limits


class ProfileBusy(Exception):
    """Another change holds the user's row. The profile is taken over at the next request."""


def differs(user: User, login: Login) -> bool:
    """Return whether the login says something newer of the user, or may give them an external id.

    A token from before the last change says what was true before it.
    """
    if user.profile_at is not None and login.issued_at <= user.profile_at:
        return False
    return (
        login.email not in (None, user.email)
        or login.name not in (None, user.name)
        or user.external_id is None
    )


def verified_address(user: User, login: Login) -> str | None:
    """Return the address that the login vouches for now, None if there is none.

    SECURITY: the stored address does not count, because its mailbox may have a new owner. Neither does
    the address of a token from before the user's last change of address.
    """
    return login.email if login.email == user.email or differs(user, login) else None


@asynccontextmanager
async def waiting_shortly(change: Change, login: Login) -> AsyncIterator[None]:
    """Raise ProfileBusy if the block would have to wait for a lock.

    Raises AddressHasAnotherLogin if another user takes the login's address at the same moment.
    """
    try:
        await change.session.execute(SHORT_WAIT)
        yield
    except DBAPIError as error:
        if sqlstate(error) == LOCK_NOT_AVAILABLE:
            raise ProfileBusy from error
        if violated_constraint(error) == ADDRESS_KEY:
            raise address_taken(login) from error
        raise


async def take_over(change: Change, id: UserId, login: Login) -> User:
    """Take address, name and a free external id over from the login. Return the user.

    The subject of a login may have been another user's external id at the first sign-in. Each newer token
    tries it again. After too many changes within an hour (`may_record`), the next login after it is taken
    over. Raises AddressHasAnotherLogin.
    """
    user = await change.session.get_one(User, id, with_for_update=True, populate_existing=True)
    if not differs(user, login):  # another request has taken it over meanwhile
        return user
    if not await may_record(change, EventKind.USER_PROFILE_CHANGED, id):
        return user
    changed = []
    if login.email not in (None, user.email):
        if await holder_of(change.session, login.email) is not None:
            raise address_taken(login)
        user.email = login.email
        changed.append("email")
    if login.name not in (None, user.name):
        user.name = login.name
        changed.append("name")
    if user.external_id is None and await _is_free(change.session, login.subject):
        user.external_id = login.subject
        changed.append("external_id")
    user.profile_at = login.issued_at
    if changed:
        await record(change, UserProfileChanged(changed=changed), Event.PLATFORM, id)
    return user


async def holder_of(session: AsyncSession, email: str | None) -> User | None:
    """Return the user with this normalized address, or None."""
    if email is None:
        return None
    holder: User | None = await session.scalar(select(User).where(User.email == email))
    return holder


async def _is_free(session: AsyncSession, external_id: str) -> bool:
    taken = select(User.id).where(User.external_id == external_id)
    return await session.scalar(taken) is None


def address_taken(login: Login) -> AddressHasAnotherLogin:
    """Return the refusal of a login whose address belongs to another user.

    SECURITY: an operator may paste the commands into a shell, and people choose what they contain.
    """
    issuer, subject, address = map(shlex.quote, (login.issuer, login.subject, login.email or ""))
    named = f"--issuer {issuer} --subject {subject}"
    return AddressHasAnotherLogin(email=login.email, address=address, login=named)


def log_unusable_claims(user: User, login: Login) -> None:
    """Log which claims of the login could not be used, once an hour for each user.

    The user keeps the address and the name that they had.
    """
    if login.unusable and _LOGGED.allows((user.id, login.unusable)):
        log.warning("login_claims_unusable", user=user.id, claims=list(login.unusable))
