"""Users of another login, found by its issuer and subject and by nothing else.

A login is linked to a user at its first sign-in, or by an operator. Afterwards it stays there.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from msgspec import UNSET
from sqlalchemy import ColumnElement, Table, case, exists, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.changes import Change
from teamaccess.changes.events import record
from teamaccess.changes.events.users import AddressReleased, LoginLinked, LoginMoved
from teamaccess.common.errors import Conflict, Invalid, Unavailable
from teamaccess.common.postgres.connect import violated_constraint
from teamaccess.directory.users.early_tokens import FIRST_USED
from teamaccess.directory.users.find import TokenOwner, UnknownUser, find_user
from teamaccess.directory.users.issuer import LONGEST_SUBJECT
from teamaccess.directory.users.profiles import (
    address_taken,
    holder_of,
    take_over,
    waiting_shortly,
)
from teamaccess.directory.users.tokens import Login
from teamaccess.storage import Auditor, Event, Membership, User, UserId, new_user_id

RACED = frozenset({"users_login_key", "users_external_id_key"})
"""The unique indexes that a request violates if another one has just used the same login."""
OTHERS = cast(Table, User.__table__).alias("others")


class SignInAgain(Unavailable):
    """Another request has just created a user with this address or login."""

    message = "Another request has just created a user with this address or login. Try again."


class LoginInUse(Conflict):
    """The login belongs to a user who has access of their own, so it cannot be given away."""

    message = (
        "The login belongs to {user}, a member or an auditor. Remove that user everywhere "
        "first, or keep the login there."
    )


class LinkedAlready(Conflict):
    """The user has this login already."""

    message = "{user} has this login already."


class InvalidLogin(Invalid):
    """The issuer or the subject has an impossible length or unprintable characters."""

    message = (
        "An issuer and a subject have 1 to {longest:printable character}. Copy them from `iss` and "
        "`sub` of the person's token."
    )


class NoAddressToRelease(Conflict):
    """The user has no address."""

    message = "{user} has no address."


async def find_login_user(session: AsyncSession, login: Login) -> User | None:
    """Return the user with this login, or None before the first sign-in."""
    has_login = (User.issuer == login.issuer, User.subject == login.subject)
    return (await session.scalars(select(User).where(*has_login))).one_or_none()


async def login_user_and_clock(session: AsyncSession, login: Login, token: bytes) -> TokenOwner:
    """Return the user with this login, if any, with the current time and any early use of `token`."""
    moment = select(func.clock_timestamp().label("now"), FIRST_USED.label("first")).subquery()
    has_login = (User.issuer == login.issuer) & (User.subject == login.subject)
    wanted = select(User, moment.c.now, moment.c.first).select_from(moment)
    found = await session.execute(wanted.outerjoin(User, has_login), {"token": token})
    return TokenOwner(*found.one())


async def first_sign_in(change: Change, login: Login) -> User:
    """Return the user who has this login from now on.

    That is the user with its address, if the issuer vouches for it and the user has no login yet.
    Otherwise it is a new user. Raises AddressHasAnotherLogin, SignInAgain, and InvalidToken if the user's
    sessions were ended after the login's token was issued.
    """
    with _sign_in_again_if_raced():
        user = await _link(change, login) or await _make(change, login)
    if user is None:
        user = await find_login_user(change.session, login)  # added by another request meanwhile
        if user is not None:
            return user
        if await holder_of(change.session, login.email) is not None:
            raise address_taken(login)
        raise SignInAgain
    login.refuse_if_ended(user)
    await _record_link(change, user, login.issuer, login)
    return user


async def later_sign_in(change: Change, id: UserId, login: Login) -> User:
    """Take over address and name from the login. Return the user it belongs to from now on.

    That is another user in one case: the login's user has no access, and the address belongs to a user
    without a login. The person was made a user twice, and gets the user with the address. This is
    what their first sign-in would have done with a verified address.

    Raises AddressHasAnotherLogin, SignInAgain, ProfileBusy, and InvalidToken if the sessions of the other
    user were ended after the login's token was issued.
    """
    async with waiting_shortly(change, login):
        with _sign_in_again_if_raced():
            holder = await holder_of(change.session, login.email)
            if holder is not None and holder.id != id and _may_be_linked(holder):
                user = await change.session.get_one(
                    User, id, with_for_update=True, populate_existing=True
                )
                if (user.issuer, user.subject) == (login.issuer, login.subject):
                    if await _has_access(change, id):
                        raise address_taken(login)
                    await _move(change, user, holder)
                    linked = await _link(change, login)
                    if linked is None:
                        raise SignInAgain
                    login.refuse_if_ended(linked)
                    await _record_link(change, linked, login.issuer, login)
                    return linked
            return await take_over(change, id, login)


async def link_login(change: Change, name: str, issuer: str, subject: str, reason: str) -> User:
    """Give the login to the user whom `find_user` finds, as an operator. Return the user.

    It replaces another login of the user and ends all their earlier sessions. A user who has the login
    without any access loses it. Raises InvalidLogin, UnknownUser, LinkedAlready,
    LoginInUse, and SignInAgain if another request has just used the login.
    """
    if any(
        not (0 < len(each) <= LONGEST_SUBJECT and each.isprintable()) for each in (issuer, subject)
    ):
        raise InvalidLogin(longest=LONGEST_SUBJECT)
    found = await find_user(change.session, name)
    locked = (
        select(User)
        .where(or_(User.id == found.id, (User.issuer == issuer) & (User.subject == subject)))
        .order_by(User.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    users = {user.id: user for user in await change.session.scalars(locked)}
    user = users.pop(found.id)
    if user.is_service_account:
        raise UnknownUser(user=name)
    if (user.issuer, user.subject) == (issuer, subject):
        raise LinkedAlready(user=name)
    for giver in users.values():
        if await _has_access(change, giver.id):
            raise LoginInUse(user=giver.id)
        await _move(change, giver, user, reason)
    replaced = user.issuer is not None
    follows = user.external_id is None or user.external_id == user.subject
    user.issuer, user.subject, user.profile_at = issuer, subject, None
    user.linked_at = func.clock_timestamp()  # SECURITY: this ends all earlier sessions
    if follows:
        user.external_id = _unless_taken("external_id", subject, but_by=user.id)
    with _sign_in_again_if_raced():
        await change.session.flush()
    await change.session.refresh(user)
    await _record_link(change, user, issuer, replaced=replaced, reason=reason)
    return user


async def release_address(change: Change, name: str, reason: str) -> User:
    """Take the address from the user whom `find_user` finds, as an operator. Return the user.

    They keep everything else. It is for a mailbox with a new owner. Raises UnknownUser and
    NoAddressToRelease.
    """
    user = await find_user(change.session, name)
    if user.email is None:
        raise NoAddressToRelease(user=user.id)
    user.email = None
    await record(change, AddressReleased(), Event.PLATFORM, user.id, reason)
    return user


async def _link(change: Change, login: Login) -> User | None:
    if login.email is None:
        return None
    linked: User | None = await change.session.scalar(
        update(User)
        .where(User.email == login.email, User.issuer.is_(None), User.service_account_of.is_(None))
        .values(
            issuer=login.issuer,
            subject=login.subject,
            name=func.coalesce(login.name, User.name),
            profile_at=login.issued_at,
            # SECURITY: this ends all sessions of ours that the user has; those of the login begin now
            linked_at=func.clock_timestamp(),
            external_id=func.coalesce(
                User.external_id, _unless_taken("external_id", login.subject)
            ),
        )
        .returning(User)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    return linked


async def _make(change: Change, login: Login) -> User | None:
    made: User | None = await change.session.scalar(
        insert(User)
        .values(
            id=new_user_id(),
            email=login.email,
            name=login.name,
            created_at=change.now,
            tokens_valid_from=login.issued_at,
            profile_at=login.issued_at,
            issuer=login.issuer,
            subject=login.subject,
            external_id=_unless_taken("external_id", login.subject),
        )
        .on_conflict_do_nothing()
        .returning(User)
    )
    return made


async def _move(change: Change, giver: User, to: User, reason: str | None = None) -> None:
    """Take the login from a user without access, and what came with it."""
    giver.issuer = giver.subject = giver.external_id = giver.email = None
    giver.linked_at = func.clock_timestamp()
    await record(change, LoginMoved(to=to.id), Event.PLATFORM, giver.id, reason)


async def _record_link(
    change: Change,
    user: User,
    issuer: str,
    login: Login | None = None,
    *,
    replaced: bool = False,
    reason: str | None = None,
) -> None:
    unusable = [
        *(login.unusable if login else ()),
        *(["external_id"] if not user.external_id else []),
    ]
    details = LoginLinked(
        issuer=issuer,
        login=hashlib.sha256(f"{issuer}\n{user.subject}".encode()).hexdigest(),
        replaced=replaced or UNSET,
        unusable=unusable if unusable else UNSET,
    )
    await record(change, details, Event.PLATFORM, user.id, reason)


@contextmanager
def _sign_in_again_if_raced() -> Iterator[None]:
    """Raise SignInAgain if another request has just used the same login or external id in the block."""
    try:
        yield
    except IntegrityError as error:
        if violated_constraint(error) not in RACED:
            raise
        raise SignInAgain from error


async def _has_access(change: Change, id: UserId) -> bool:
    """Return whether the user is a member or an auditor. Lock their row first."""
    member = exists().where(Membership.user_id == id)
    auditor = exists().where(Auditor.user_id == id)
    return bool(await change.session.scalar(select(or_(member, auditor))))


def _may_be_linked(user: User) -> bool:
    return user.issuer is None and not user.is_service_account


def _unless_taken(
    column: str, value: str, *, but_by: UserId | None = None
) -> ColumnElement[str | None]:
    """Return the value, or null if a user other than `but_by` has it in the column."""
    taken = exists().where(OTHERS.c[column] == value, OTHERS.c.id.is_distinct_from(but_by))
    return case((taken.select_from(OTHERS), None), else_=literal(value))
