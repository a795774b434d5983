"""Users of another login, found by its issuer and subject and by nothing else."""

from typing import cast

from sqlalchemy import ColumnElement, Table, case, exists, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.changes import Change
from teamaccess.changes.events import record
from teamaccess.changes.events.users import LoginLinked
from teamaccess.common.errors import Unavailable
from teamaccess.directory.users.find import Shown
from teamaccess.directory.users.issued import FIRST_SHOWN
from teamaccess.directory.users.issuer import Login
from teamaccess.storage import Event, User, new_user_id

OTHERS = cast(Table, User.__table__).alias("others")


class SignInAgain(Unavailable):
    """Another request has just created a user with this address or login."""

    message = "Another request has just created a user with this address or login. Try again."


async def known(session: AsyncSession, login: Login) -> User | None:
    """Return the user with this login, or None before the first sign-in."""
    has_login = (User.issuer == login.issuer, User.subject == login.subject)
    return (await session.scalars(select(User).where(*has_login))).one_or_none()


async def known_and_clock(session: AsyncSession, login: Login, token: bytes) -> Shown:
    """Return the user with this login, or None, at the moment at which its token is shown."""
    moment = select(func.clock_timestamp().label("now"), FIRST_SHOWN.label("first")).subquery()
    has_login = (User.issuer == login.issuer) & (User.subject == login.subject)
    wanted = select(User, moment.c.now, moment.c.first).select_from(moment)
    found = await session.execute(wanted.outerjoin(User, has_login), {"token": token})
    return Shown(*found.one())


async def first_sign_in(change: Change, login: Login) -> User:
    """Return the user who has this login from now on.

    That is the user with its address, if the issuer vouches for it and the user has no login yet.
    Otherwise it is a new user, who gets the address if no other user has it. Raises SignInAgain, and
    InvalidToken if the user's sessions were ended after the login's token was issued.
    """
    try:
        user = await _link(change, login) or await _make(change, login)
    except IntegrityError as taken:  # another request has just linked this login to somebody else
        raise SignInAgain from taken
    if user is None:
        user = await known(change.session, login)  # in another request, meanwhile
        if user is None:
            raise SignInAgain
        return user
    login.refuse_if_ended(user)
    await record(change, LoginLinked(issuer=login.issuer), Event.PLATFORM, user.id)
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
            # SECURITY: this ends all sessions of ours that the user has; those of the login begin now
            linked_at=func.clock_timestamp(),
            external_id=func.coalesce(
                User.external_id, _unless_taken("external_id", login.subject)
            ),
        )
        .returning(User)
        .execution_options(synchronize_session=False)
    )
    return linked


async def _make(change: Change, login: Login) -> User | None:
    made: User | None = await change.session.scalar(
        insert(User)
        .values(
            id=new_user_id(),
            email=_unless_taken("email", login.email) if login.email is not None else None,
            name=login.name,
            created_at=change.now,
            tokens_valid_from=login.issued_at,
            issuer=login.issuer,
            subject=login.subject,
            external_id=_unless_taken("external_id", login.subject),
        )
        .on_conflict_do_nothing()
        .returning(User)
    )
    return made


def _unless_taken(column: str, value: str) -> ColumnElement[str | None]:
    taken = exists().where(OTHERS.c[column] == value).select_from(OTHERS)
    return case((taken, None), else_=literal(value))
