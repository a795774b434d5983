"""Find users by id, address, mailbox or membership; an operator may name a new address."""

import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import (
    ARRAY,
    ColumnElement,
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
from teamaccess.common.sharing.loop_share import give_way
from teamaccess.directory.users.addresses import InvalidEmail, normalize_email
from teamaccess.directory.users.early_tokens import FIRST_USED
from teamaccess.storage import Membership, OrganizationId, User, UserId, new_user_id
from teamaccess.storage.directory.user import MAILBOX_SQL, TAGGED, mailbox

BY_ID = select(User).where(User.id == bindparam("id"))
"""Built once, because every request with a token executes it."""
WITH_CLOCK = BY_ID.add_columns(func.clock_timestamp(), FIRST_USED)
MEMBERS_NAMED = (
    select(User.id, User.email, User.external_id)
    .join(Membership, Membership.user_id == User.id)
    .where(
        Membership.organization_id == bindparam("organization"),
        or_(
            User.id == any_(bindparam("ids", type_=ARRAY(Text))),
            User.email == any_(bindparam("addresses", type_=ARRAY(Text))),
            User.external_id == any_(bindparam("external_ids", type_=ARRAY(Text))),
        ),
    )
)
TAGGED_USERS = TAGGED.replace("email", "users.email", 1)
LONGEST_EXTERNAL_ID = 255
GENERATED_ID = re.compile(r"(usr|sa)_[0-9a-f]{20}")
"""An id that this service made. Most requests name users by it."""
EXTERNAL = "external:"
"""The prefix that marks an external id, so that it is not taken for an id or an address."""
LONGEST_USER_REFERENCE = len(EXTERNAL) + LONGEST_EXTERNAL_ID


class UnknownUser(NotFound):
    """There is no user with this id, address or external id."""

    message = "There is no user {user}."


class NobodyToActFor(NotFound):
    """The organization has no person with the id, address or external id that the header names."""

    message = (
        "{organization} has no person with this id, e-mail address or external id. Correct "
        "Teamaccess-On-Behalf-Of, percent-encode characters beyond ASCII, and write `external:` before "
        "an external id that has the form of an address."
    )


async def user_now(session: AsyncSession, id: UserId) -> User | None:
    """Return the user as PostgreSQL has them at this moment, or None."""
    return (await session.scalars(BY_ID, {"id": id})).one_or_none()


class TokenOwner(NamedTuple):
    """The user of a token, and the current time."""

    user: User | None
    now: datetime
    """PostgreSQL's clock."""
    first_used: datetime | None
    """When the token was first used, if that was before its time of issue."""


async def user_and_clock(session: AsyncSession, id: UserId, token: bytes) -> TokenOwner | None:
    """Return the user of a token, with the current time; None if there is no such user."""
    row = (await session.execute(WITH_CLOCK, {"id": id, "token": token})).one_or_none()
    return TokenOwner(*row) if row is not None else None


async def find_user(session: AsyncSession, name: str) -> User:
    """Return the user of any organization with this name, as `is_named` reads it; raises UnknownUser.

    SECURITY: it is for operators. Others would learn which people other tenants have.
    """
    user: User | None = None
    if is_possible_reference(name):
        found = select(User).where(is_named(name))
        # an id comes before another user's external id
        user = await session.scalar(found.order_by(User.id != name).limit(1))
    if user is None:
        raise UnknownUser(user=name)
    return user


def is_named(text: str) -> ColumnElement[bool]:
    """Return the condition that a user has this id, e-mail address or external id.

    SECURITY: a login chooses its own external id. So a text that has the form of an address, or of an id
    that this service made, is compared with addresses or ids alone, even if nobody has it. `external:`
    before an external id names it in any form.
    """
    if text.startswith(EXTERNAL):
        return User.external_id == text.removeprefix(EXTERNAL)
    if GENERATED_ID.fullmatch(text):
        return User.id == UserId(text)
    try:
        return User.email == normalize_email(text)
    except InvalidEmail:
        return or_(User.id == UserId(text), User.external_id == text)


async def person_in(session: AsyncSession, organization: OrganizationId, name: str) -> User:
    """Return the person of the organization with this name, as `is_named` reads it.

    A service account is not a person. Raises NobodyToActFor.
    """
    person: User | None = None
    if is_possible_reference(name):
        person = await session.scalar(
            select(User)
            .join(Membership, Membership.user_id == User.id)
            .where(
                Membership.organization_id == organization,
                User.service_account_of.is_(None),
                is_named(name),
            )
            .order_by(User.id != name)  # an id comes before another person's external id
            .limit(1)
        )
    if person is None:
        raise NobodyToActFor(organization=organization)
    return person


async def resolve_member(session: AsyncSession, organization: OrganizationId, text: str) -> UserId:
    """Return the id of the member with this name, as `is_named` reads it.

    Anything else is returned unchanged. SECURITY: an error here would tell a caller without rights which
    addresses are members. The use case raises it instead, after it has authorized the caller. Users
    outside of the organization are never found, so tenants do not learn who else exists.
    """
    if GENERATED_ID.fullmatch(text) or not is_possible_reference(text):
        return UserId(text)
    member: UserId | None = await session.scalar(
        select(User.id)
        .join(Membership, Membership.user_id == User.id)
        .where(Membership.organization_id == organization, is_named(text))
        .order_by(User.id != text)  # an id comes before another member's external id
        .limit(1)
    )
    return member if member is not None else UserId(text)


def is_possible_reference(text: str) -> bool:
    """Return whether the text can name a user at all."""
    return 0 < len(text) <= LONGEST_USER_REFERENCE and text.isprintable()


async def resolve_members(
    session: AsyncSession, organization: OrganizationId, named: Iterable[str]
) -> dict[str, UserId]:
    """Return what `resolve_member` returns for each name, with one statement for all of them."""
    names: dict[str, UserId] = {name: UserId(name) for name in named}
    by_address: dict[str, list[str]] = {}
    by_external_id: dict[str, list[str]] = {}
    ids: set[str] = set()
    for name in names:  # as `is_named` reads it
        if GENERATED_ID.fullmatch(name) or not is_possible_reference(name):
            continue
        external_id = name.removeprefix(EXTERNAL)
        if external_id == name:
            if not name.isascii():
                await give_way()  # encoding a domain may take milliseconds
            with suppress(InvalidEmail):
                by_address.setdefault(normalize_email(name), []).append(name)
                continue
            ids.add(name)
        by_external_id.setdefault(external_id, []).append(name)
    if not (by_address or by_external_id):
        return names
    rows = await session.execute(
        MEMBERS_NAMED,
        {
            "organization": organization,
            "ids": list(ids),
            "addresses": list(by_address),
            "external_ids": list(by_external_id),
        },
    )
    members: set[str] = set()
    for id, email, external in rows:
        members.add(id)
        names |= dict.fromkeys(by_external_id.get(external or "", ()), UserId(id))
        names |= dict.fromkeys(by_address.get(email or "", ()), UserId(id))
    return names | {id: UserId(id) for id in members & ids}  # an id comes before an external id


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
    """Return the user with the normalized address; a new address becomes a user."""
    await change.session.execute(
        insert(User)
        .values(
            id=new_user_id(), email=address, created_at=change.now, tokens_valid_from=change.now
        )
        .on_conflict_do_nothing(index_elements=[User.email])
    )
    return (await change.session.scalars(select(User).where(User.email == address))).one()
