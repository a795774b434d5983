"""Find users by id, address, mailbox or membership; an operator may name a new address."""

import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import (
    ARRAY,
    Select,
    Text,
    any_,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.changes import Change
from teamaccess.common.errors import NotFound
from teamaccess.directory.users.addresses import InvalidEmail, normalise
from teamaccess.directory.users.early_tokens import FIRST_SHOWN
from teamaccess.storage import Membership, OrganizationId, User, UserId, new_user_id
from teamaccess.storage.directory.user import MAILBOX_SQL, TAGGED, mailbox

BY_ID = select(User).where(User.id == bindparam("id"))
"""Built once, because every request with a token executes it."""
WITH_CLOCK = BY_ID.add_columns(func.clock_timestamp(), FIRST_SHOWN)
MEMBERS_NAMED = (
    select(User.id, User.email, User.external_id)
    .join(Membership, Membership.user_id == User.id)
    .where(
        Membership.organization_id == bindparam("organization"),
        or_(
            User.id == any_(bindparam("names", type_=ARRAY(Text))),
            User.email == any_(bindparam("addresses", type_=ARRAY(Text))),
            User.external_id == any_(bindparam("names", type_=ARRAY(Text))),
        ),
    )
)
TAGGED_USERS = TAGGED.replace("email", "users.email", 1)
LONGEST = 255
GENERATED_ID = re.compile(r"(usr|sa)_[0-9a-f]{20}")
"""An id that this service made. Most requests name users so."""


class UnknownUser(NotFound):
    """There is no user with this id or address."""

    message = "There is no user {user}."


class NobodyToActFor(NotFound):
    """The organization has no person with the id or external id that the header names."""

    message = (
        "{organization} has no person with this id or external id. Correct Teamaccess-On-Behalf-Of, "
        "and percent-encode characters beyond ASCII."
    )


async def user_now(session: AsyncSession, id: UserId) -> User | None:
    """Return the user as PostgreSQL has them at this moment, or None."""
    return (await session.scalars(BY_ID, {"id": id})).one_or_none()


class Shown(NamedTuple):
    """What PostgreSQL knows at the moment at which a token is shown."""

    user: User | None
    now: datetime
    """PostgreSQL's clock."""
    first_shown: datetime | None
    """When the token was first shown, if that was before its time of issue."""


async def user_and_clock(session: AsyncSession, id: UserId, token: bytes) -> Shown | None:
    """Return the user of a token at this moment; None if there is no such user."""
    row = (await session.execute(WITH_CLOCK, {"id": id, "token": token})).one_or_none()
    return Shown(*row) if row is not None else None


async def find_user(session: AsyncSession, id_or_email: str) -> User:
    """Return the user with the id or the e-mail address; raises UnknownUser."""
    try:
        address = normalise(id_or_email)
    except InvalidEmail:
        address = ""
    condition = or_(User.id == UserId(id_or_email), User.email == address)
    user = (await session.scalars(select(User).where(condition))).one_or_none()
    if user is None:
        raise UnknownUser(user=id_or_email)
    return user


async def person_in(session: AsyncSession, organization: OrganizationId, id: str) -> User:
    """Return the person of the organization with the id or the external id; raises NobodyToActFor.

    A service account is not a person.
    """
    person: User | None = None
    if 0 < len(id) <= LONGEST and id.isprintable():
        person = await session.scalar(
            select(User)
            .join(Membership, Membership.user_id == User.id)
            .where(
                Membership.organization_id == organization,
                User.service_account_of.is_(None),
                or_(User.id == UserId(id), User.external_id == id),
            )
            .order_by(User.id != id)  # an id comes before another person's external id
            .limit(1)
        )
    if person is None:
        raise NobodyToActFor(organization=organization)
    return person


async def resolve_member(session: AsyncSession, organization: OrganizationId, text: str) -> UserId:
    """Return the id of the member with this id, e-mail address or external id, in this order.

    Anything else is returned unchanged. SECURITY: an error here would tell a caller without rights which
    addresses are members. The use case raises it instead, after it has authorized the caller. Users
    outside of the organization are never found, so tenants do not learn who else exists.
    """
    if GENERATED_ID.fullmatch(text) or not (0 < len(text) <= LONGEST and text.isprintable()):
        return UserId(text)
    try:
        address = normalise(text)
    except InvalidEmail:
        address = ""
    member: UserId | None = await session.scalar(
        select(User.id)
        .join(Membership, Membership.user_id == User.id)
        .where(
            Membership.organization_id == organization,
            or_(User.id == UserId(text), User.email == address, User.external_id == text),
        )
        .order_by(User.id != text, User.email.is_distinct_from(address))
        .limit(1)
    )
    return member if member is not None else UserId(text)


async def resolve_members(
    session: AsyncSession, organization: OrganizationId, named: Iterable[str]
) -> dict[str, UserId]:
    """Return what `resolve_member` returns for each name, with one statement for all of them."""
    names: dict[str, UserId] = {name: UserId(name) for name in named}
    asked = [
        name
        for name in names
        if not GENERATED_ID.fullmatch(name) and 0 < len(name) <= LONGEST and name.isprintable()
    ]
    if not asked:
        return names
    by_address: dict[str, list[str]] = {}
    for name in asked:
        with suppress(InvalidEmail):
            by_address.setdefault(normalise(name), []).append(name)
    rows = await session.execute(
        MEMBERS_NAMED,
        {"organization": organization, "names": asked, "addresses": list(by_address)},
    )
    found = [(UserId(id), email, external) for id, email, external in rows]
    for id, _, external in found:
        if external in names:
            names[external] = id
    for id, email, _ in found:
        names |= dict.fromkeys(by_address.get(email or "", ()), id)
    return names | {id: id for id, _, _ in found if id in names}


def same_person(user: User) -> Select[UserId]:
    """Select the ids of the user, and of all other users with the same mailbox."""
    if user.email is None:
        return select(User.id).where(User.id == user.id)
    box = mailbox(user.email)
    same_box = literal_column(MAILBOX_SQL.format(email="users.email")) == box
    return select(User.id).where(
        or_(User.id == user.id, User.email == box, text(TAGGED_USERS) & same_box)
    )


async def user_with(change: Change, address: str) -> User:
    """Return the user with the normalised address; a new address becomes a user."""
    await change.session.execute(
        insert(User)
        .values(
            id=new_user_id(), email=address, created_at=change.now, tokens_valid_from=change.now
        )
        .on_conflict_do_nothing(index_elements=[User.email])
    )
    return (await change.session.scalars(select(User).where(User.email == address))).one()
