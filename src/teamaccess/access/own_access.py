"""Nobody extends their own access: somebody whose access ends cannot postpone its end.

A giver holds what they give, so they may give an action without an end that they hold until tomorrow.
That is their task for others. For themselves it would turn temporary access into permanent access. This
module compares the ends before and after a change, so every path is covered: roles, places in teams,
roles of teams, custom roles, grants, the end of the membership, and any combination of them.

These count as oneself:

- the callers: the actor, the service account that acts for them, and the people behind its token;
- each user with the same mailbox as one of them, and each invitation to it.

A token is made by a person, or with another token. The people behind it are the person who made it, and
the people behind the token with which it was made. A new token also inherits the end of their access. So
the tokens that somebody made stay limited when they give up their access.

Service accounts of the organization, and the tokens that the change makes for them, get nothing that
outlasts the access of the callers. For them, for offers and for other addresses, the limit is the
earliest end among all callers.
"""

import re
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import (
    ColumnElement,
    Text,
    bindparam,
    literal_column,
    or_,
    select,
    text,
    union,
)
from sqlalchemy.orm import aliased

from teamaccess.access.ends import (
    NEVER,
    NOT_HELD,
    ORGANIZATION,
    AccessEnds,
    AccessKey,
    MembersWhere,
    access_end,
    read_access_ends,
)
from teamaccess.access.holdings import role_set_in
from teamaccess.changes import OrganizationChange
from teamaccess.common.errors import Forbidden, PreconditionFailed
from teamaccess.storage import (
    ApiToken,
    Channel,
    Invitation,
    InvitationRole,
    User,
    UserId,
)
from teamaccess.storage.directory.invitation import OPEN
from teamaccess.storage.directory.user import MAILBOX_SQL, TAGGED, mailbox

USER_IN_ACTOR = re.compile("user:([^ ]+)")
"""Finds the ids of users in an actor, as the ledger writes it."""
USER_IDS = bindparam("users", expanding=True, type_=Text)
ADDRESSES = select(User.email).where(User.id.in_(USER_IDS), User.email.is_not(None))
"""The addresses of these users."""


def _counts_as_caller() -> ColumnElement[bool]:
    """Return the condition for users who count as a caller. Each part of it uses an index."""
    person = aliased(User, name="person")
    mailboxes = bindparam("mailboxes", expanding=True, type_=Text)
    tagged = text(TAGGED.replace("email", "person.email", 1))  # the condition of the index
    own_mailbox = literal_column(MAILBOX_SQL.format(email="person.email")).in_(mailboxes)
    return User.id.in_(
        union(
            select(person.id).where(person.id.in_(USER_IDS)),
            select(person.id).where(person.email.in_(mailboxes)),
            select(person.id).where(tagged, own_mailbox),
        )
    )


COUNTED_AS_CALLER = MembersWhere(_counts_as_caller())
"""The members with one of these ids (`users`) or `mailboxes`."""
SERVICE_ACCOUNTS = MembersWhere(User.service_account_of == ORGANIZATION)
"""The service accounts of the organization."""
EVEN_SUSPENDED = (
    MembersWhere(_counts_as_caller(), suspended=True),
    MembersWhere(User.service_account_of == ORGANIZATION, suspended=True),
)
"""Both of them, with what suspended ones have after they return."""
BY_ID = MembersWhere(User.id.in_(USER_IDS), suspended=True)
"""Members by their ids (`users`), suspended ones too."""


class OwnAccessExtended(Forbidden):
    """The change postpones the end of the caller's own access, or gives it to a service account."""

    message = (
        "You can't extend your own access, and {user} would hold {action} for longer than you do. "
        "Ask somebody else to do it."
    )


class PeopleBehind(NamedTuple):
    """The people behind a token, and when their access first ends; None for never."""

    people: frozenset[UserId]
    until: datetime | None


@dataclass(frozen=True)
class Callers:
    """Everybody who makes the change."""

    actors: frozenset[UserId]
    """The actor, and the service account that acts for them."""
    behind: PeopleBehind
    """The people behind the token that was sent."""
    mailboxes: frozenset[str]

    @property
    def users(self) -> frozenset[UserId]:
        """The actors, and the people behind their token."""
        return self.actors | self.behind.people


@dataclass(frozen=True)
class OwnAccess:
    """The access of the callers and of everybody who counts as one of them, before a change."""

    callers: Callers
    ends: Mapping[UserId, AccessEnds]
    """When the access of each user ends who counts as a caller."""
    service_accounts: Mapping[UserId, AccessEnds]
    """When the access of the organization's service accounts ends."""
    offered: frozenset[str]
    """The actions that pending invitations offer to a mailbox of a caller."""
    after_return: Mapping[UserId, AccessEnds]
    """The access of all these accounts, as if none were suspended."""

    def limit(
        self, change: OrganizationChange, key: AccessKey, *, apart_from: UserId | None = None
    ) -> datetime:
        """Return the earliest end of the callers' access to the action.

        A person behind a token may never have held the action, or may have left. Then they do not count.
        """
        limit = self.callers.behind.until or NEVER
        for user in self.callers.users - {apart_from}:
            end = access_end(change, self.ends.get(user, {}), key)
            if end != NOT_HELD or user in self.callers.actors:
                limit = min(limit, end)
        return limit


@asynccontextmanager
async def keeping_own_ends(change: OrganizationChange) -> AsyncIterator[None]:
    """Raise OwnAccessExtended if the block extends the access of the actor. Operators are exempt.

    SECURITY: a missing right is reported before an outdated state, so this is raised even if the block
    raises PreconditionFailed.
    """
    if change.attribution.channel is not Channel.API:
        yield
        return
    before = await _temporary_access(change)
    try:
        yield
    except PreconditionFailed:
        if before is not None and change.session.is_active:
            await _refuse_extension(change, before)
        raise
    if before is not None:
        await _refuse_extension(change, before)


async def refuse_own_offer(change: OrganizationChange, invitation: Invitation) -> None:
    """Raise OwnAccessExtended if an invitation is for its sender, and they hold its roles temporarily.

    An invitation is compared when it is sent, and when an offered role gets more actions. It is compared
    again when it is accepted, because the inviter's access may have become temporary since.

    SECURITY: the people behind a service account's token sent the invitation too. The row does not name
    the token, so everybody behind a token that could have sent it counts.
    """
    callers = await _callers_of(change, await _behind_invitation(change, invitation))
    if mailbox(invitation.email) in callers.mailboxes:
        own = OwnAccess(callers, await _own_ends(change, callers), {}, frozenset(), {})
        roles = invitation.roles
        for action in sorted((await role_set_in(change, roles)).permissions_of(roles)):
            if own.limit(change, action) != NEVER:
                raise OwnAccessExtended(user=change.actor, action=action)


async def people_behind_token(change: OrganizationChange, account: UserId) -> PeopleBehind:
    """Return the people behind a token that this change makes for a service account.

    The ends of the account's own access are not recorded. They are read whenever the token is used.
    """
    if change.attribution.channel is not Channel.API:
        return PeopleBehind(frozenset(), None)
    callers = await _callers(change)
    own = OwnAccess(callers, await _own_ends(change, callers), {}, frozenset(), {})
    held = await read_access_ends(change, BY_ID, users=[account])
    limits = [own.limit(change, key, apart_from=account) for key in held.get(account, {})]
    until = min([callers.behind.until or NEVER, *limits])
    is_person = User.service_account_of.is_(None)
    people = await change.session.scalars(
        select(User.id).where(User.id.in_(callers.users), is_person)
    )
    return PeopleBehind(frozenset(people), None if until == NEVER else max(until, change.now))


async def _temporary_access(change: OrganizationChange) -> OwnAccess | None:
    """Return the access of the callers before the change; None if all of it is permanent."""
    callers = await _callers(change)
    own = await _own_ends(change, callers)
    is_permanent = callers.behind.until is None
    if is_permanent and all(end == NEVER for ends in own.values() for end in ends.values()):
        return None
    service_accounts = await read_access_ends(change, SERVICE_ACCOUNTS)
    offered = await _offered_to(change, callers.mailboxes)
    after_return = await _ends_after_return(change, callers)
    return OwnAccess(callers, own, service_accounts, offered, after_return)


async def _refuse_extension(change: OrganizationChange, before: OwnAccess) -> None:
    await change.session.flush()
    callers = before.callers
    for user, ends in (await _own_ends(change, callers)).items():
        for key, end in ends.items():
            allowed = access_end(change, before.ends.get(user, {}), key)
            if user not in callers.users:
                allowed = max(allowed, before.limit(change, key))
            if end > allowed:
                raise OwnAccessExtended(user=user, action=_name(key))
    # SECURITY: somebody else may reactivate an account without knowing what it was given meanwhile
    for user, ends in (await _ends_after_return(change, callers)).items():
        for key, end in ends.items():
            held = before.after_return.get(user, {})
            if user not in callers.users and end > max(
                before.limit(change, key), access_end(change, held, key)
            ):
                raise OwnAccessExtended(user=user, action=_name(key))
    sent = await _offered_to(change, callers.mailboxes, Invitation.sent_at == change.now)
    for action in sorted(sent | await _offered_to(change, callers.mailboxes) - before.offered):
        if before.limit(change, action) != NEVER:
            raise OwnAccessExtended(user=change.actor, action=action)
    for user, ends in (await read_access_ends(change, SERVICE_ACCOUNTS)).items():
        for key, end in ends.items():
            held = before.service_accounts.get(user, {})
            if end > max(before.limit(change, key), access_end(change, held, key)):
                raise OwnAccessExtended(user=user, action=_name(key))
    made = (
        await change.session.execute(
            select(ApiToken.user_id, ApiToken.expires_at).where(
                ApiToken.organization_id == change.organization, ApiToken.created_at == change.now
            )
        )
    ).all()
    accounts = [user for user, _ in made]
    service_accounts = await read_access_ends(change, BY_ID, users=accounts) if made else {}
    for user, until in made:
        for key, end in service_accounts.get(user, {}).items():
            if min(end, until) > before.limit(change, key):
                raise OwnAccessExtended(user=user, action=_name(key))


async def _own_ends(change: OrganizationChange, callers: Callers) -> Mapping[UserId, AccessEnds]:
    """Return the ends of the access of everybody who counts as one of the callers."""
    users, mailboxes = sorted(callers.users), sorted(callers.mailboxes)
    return await read_access_ends(change, COUNTED_AS_CALLER, users=users, mailboxes=mailboxes)


async def _ends_after_return(
    change: OrganizationChange, callers: Callers
) -> Mapping[UserId, AccessEnds]:
    """Return the ends for the same accounts and all service accounts, as if none were suspended."""
    selves, service_accounts = EVEN_SUSPENDED
    users, mailboxes = sorted(callers.users), sorted(callers.mailboxes)
    return {
        **await read_access_ends(change, service_accounts),
        **await read_access_ends(change, selves, users=users, mailboxes=mailboxes),
    }


async def _callers(change: OrganizationChange) -> Callers:
    return await _callers_of(change, await _behind_sent_token(change))


async def _callers_of(change: OrganizationChange, behind: PeopleBehind) -> Callers:
    actors = frozenset([change.actor, *filter(None, [change.attribution.account])])
    users = sorted(actors | behind.people)
    addresses = await change.session.scalars(ADDRESSES, {"users": users})
    return Callers(actors, behind, frozenset(mailbox(each) for each in addresses if each))


async def _behind_sent_token(change: OrganizationChange) -> PeopleBehind:
    """Return the people behind the token with which the request was sent."""
    id = change.attribution.token
    token = await change.session.get(ApiToken, (change.organization, id)) if id else None
    return await _behind(change, token) if token is not None else PeopleBehind(frozenset(), None)


async def _behind_invitation(change: OrganizationChange, invitation: Invitation) -> PeopleBehind:
    """Return the people behind each token with which the invitation could have been sent."""
    tokens = await change.session.scalars(
        select(ApiToken).where(
            ApiToken.organization_id == change.organization,
            ApiToken.user_id == (invitation.invited_via or invitation.invited_by),
            ApiToken.created_at <= invitation.sent_at,
            ApiToken.expires_at > invitation.sent_at,
            or_(ApiToken.revoked_at.is_(None), ApiToken.revoked_at >= invitation.sent_at),
        )
    )
    behind = [await _behind(change, token) for token in tokens]
    ends = [each.until for each in behind if each.until is not None]
    people = frozenset[UserId]().union(*(each.people for each in behind))
    return PeopleBehind(people, min(ends, default=None))


async def _behind(change: OrganizationChange, token: ApiToken) -> PeopleBehind:
    if token.people is not None:
        return PeopleBehind(frozenset(token.people), token.people_until)
    return PeopleBehind(await _makers(change, token), None)


async def _makers(change: OrganizationChange, token: ApiToken) -> frozenset[UserId]:
    """Return the people behind a token that was made before they were recorded.

    If a service account made it, they are the people behind all tokens of that account, ended ones too.
    """
    people: set[UserId] = set()
    accounts: set[UserId] = set()
    named = set(USER_IN_ACTOR.findall(token.created_by))
    while named:
        users = (await change.session.scalars(select(User).where(User.id.in_(named)))).all()
        people |= {user.id for user in users if not user.is_service_account}
        new = {user.id for user in users if user.is_service_account} - accounts
        accounts |= new
        made = await change.session.scalars(
            select(ApiToken.created_by).where(
                ApiToken.organization_id == change.organization, ApiToken.user_id.in_(new)
            )
        )
        named = {user for each in made for user in USER_IN_ACTOR.findall(each)} - people - accounts
    return frozenset(people)


async def _offered_to(
    change: OrganizationChange, mailboxes: Collection[str], *conditions: ColumnElement[bool]
) -> frozenset[str]:
    """Return the actions that pending invitations offer to one of the mailboxes."""
    addressee: ColumnElement[str] = literal_column(MAILBOX_SQL.format(email="invitations.email"))
    offered = await change.session.scalars(
        select(InvitationRole.role)
        .join(
            Invitation,
            (Invitation.organization_id == InvitationRole.organization_id)
            & (Invitation.id == InvitationRole.invitation_id),
        )
        .where(
            Invitation.organization_id == change.organization,
            text(OPEN),
            addressee.in_(mailboxes),
            *conditions,
        )
    )
    roles = set(offered)
    return (await role_set_in(change, roles)).permissions_of(roles)


def _name(key: AccessKey) -> str:
    return key if isinstance(key, str) else f"{key[2]} on {key[0]}:{key[1]}"
