"""Nobody extends their own access: somebody whose access ends does not change when it ends.

A giver holds what they give, so they may give an action without an end that they hold until tomorrow.
That is their task for others. For themselves it would turn temporary access into permanent access. This
module compares the ends before and after a change, so every path is covered: roles, places in teams,
roles of teams, custom roles, grants, the end of the membership, and any combination of them.

It counts as oneself:

- the actor, and each user with the same mailbox;
- if a service account acts, in its own name or for a member: the account, and the people who made its
  tokens.

The organization's service accounts, and the tokens that the change makes for them, get nothing that
outlasts the actor's access.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    func,
    literal,
    literal_column,
    select,
    text,
    union,
    union_all,
)
from sqlalchemy.orm import aliased

from teamaccess.access.holdings import roles_here
from teamaccess.changes import OrganizationChange
from teamaccess.common.errors import Forbidden
from teamaccess.storage import (
    ApiToken,
    Channel,
    Grant,
    Invitation,
    InvitationRole,
    Membership,
    RoleAssignment,
    RoleId,
    TeamMembership,
    TeamRole,
    User,
    UserId,
)
from teamaccess.storage.directory.user import MAILBOX_SQL, TAGGED

NEVER = datetime.max.replace(tzinfo=UTC)
"""Stands for access without an end."""
NOT_HELD = datetime.min.replace(tzinfo=UTC)

Key = str | tuple[str, str, str]
"""An action in the organization, or the type, id and action of a grant on one object."""
Ends = Mapping[Key, datetime]
"""When a user's access to each action ends."""


class OwnAccessExtended(Forbidden):
    """The change postpones the end of the caller's own access, or gives it to a service account."""

    message = (
        "You can't extend your own access, and {user} would hold {action} for longer than you do. "
        "Ask somebody else to do it."
    )


@dataclass(frozen=True)
class OwnAccess:
    """The access of the actor and of everybody who counts as the actor, before a change."""

    actor: UserId
    selves: Mapping[UserId, Ends]
    service_accounts: Mapping[UserId, Ends]


@asynccontextmanager
async def keeping_own_ends(change: OrganizationChange) -> AsyncIterator[None]:
    """Raise OwnAccessExtended if the block extends the access of the actor. Operators are exempt."""
    if change.attribution.channel is not Channel.API:
        yield
        return
    before = await _temporary_access(change)
    yield
    if before is not None:
        await change.session.flush()
        await _refuse_extension(change, before)


async def _temporary_access(change: OrganizationChange) -> OwnAccess | None:
    """Return the access of the actor before the change, None if nothing of it ends."""
    selves = await _ends_of(change, _selves(change))
    if all(end == NEVER for ends in selves.values() for end in ends.values()):
        return None
    return OwnAccess(change.actor, selves, await _ends_of(change, _is_service_account(change)))


async def _refuse_extension(change: OrganizationChange, before: OwnAccess) -> None:
    own = before.selves.get(before.actor, {})
    for user, ends in (await _ends_of(change, User.id.in_(before.selves))).items():
        for key, end in ends.items():
            if end > _end_of(change, before.selves[user], key):
                raise OwnAccessExtended(user=user, action=_name(key))
    for action in await _offered_to(change, before.selves):
        if _end_of(change, own, action) != NEVER:
            raise OwnAccessExtended(user=before.actor, action=action)
    service_accounts = await _ends_of(change, _is_service_account(change))
    for user, ends in service_accounts.items():
        for key, end in ends.items():
            held = before.service_accounts.get(user, {})
            if end > max(_end_of(change, own, key), _end_of(change, held, key)):
                raise OwnAccessExtended(user=user, action=_name(key))
    made = select(ApiToken.user_id, ApiToken.expires_at).where(
        ApiToken.organization_id == change.organization, ApiToken.created_at == change.now
    )
    for user, until in await change.session.execute(made):
        for key, end in service_accounts.get(user, {}).items():
            if min(end, until) > _end_of(change, own, key):
                raise OwnAccessExtended(user=user, action=_name(key))


async def _offered_to(change: OrganizationChange, users: Collection[UserId]) -> frozenset[str]:
    """Return the actions that invitations of this change offer to a mailbox of these users."""
    addressee: ColumnElement[str] = literal_column(MAILBOX_SQL.format(email="invitations.email"))
    own: ColumnElement[str] = literal_column(MAILBOX_SQL.format(email="users.email"))
    offered = await change.session.scalars(
        select(InvitationRole.role)
        .join(
            Invitation,
            (Invitation.organization_id == InvitationRole.organization_id)
            & (Invitation.id == InvitationRole.invitation_id),
        )
        .where(
            Invitation.organization_id == change.organization,
            Invitation.sent_at == change.now,
            addressee.in_(select(own).where(User.id.in_(users))),
        )
    )
    roles = set(offered)
    return (await roles_here(change, roles)).actions_of(roles)


def _end_of(change: OrganizationChange, ends: Ends, key: Key) -> datetime:
    """Return when access to the action ends. An action in the organization includes its objects."""
    end = ends.get(key, NOT_HELD)
    if isinstance(key, str):
        return end
    type, _, verb = key
    behind = change.catalog.types[type].actions.get(verb) if type in change.catalog.types else None
    return max(end, ends.get(behind, NOT_HELD)) if behind is not None else end


def _name(key: Key) -> str:
    return key if isinstance(key, str) else f"{key[2]} on {key[0]}:{key[1]}"


def _selves(change: OrganizationChange) -> ColumnElement[bool]:
    """Return the condition for users that count as the actor. Each part of it finds them by an index."""
    ids = [change.actor, *filter(None, [change.attribution.account])]
    address: ColumnElement[str] = literal_column(MAILBOX_SQL.format(email="self.email"))
    self, person = aliased(User, name="self"), aliased(User, name="person")
    mailbox = select(address).select_from(self).where(self.id == change.actor).scalar_subquery()
    tagged = text(TAGGED.replace("email", "person.email", 1))  # the condition of the index
    same_mailbox = literal_column(MAILBOX_SQL.format(email="person.email")) == mailbox
    makers = select(func.substring(ApiToken.created_by, "^user:([^ ]+)")).where(
        ApiToken.organization_id == change.organization,
        ApiToken.user_id.in_(ids),
        ApiToken.revoked_at.is_(None),
        ApiToken.expires_at > change.now,
    )
    return User.id.in_(
        union(
            select(person.id).where(person.id.in_(ids)),
            makers,
            select(person.id).where(person.email == mailbox),
            select(person.id).where(tagged, same_mailbox),
        )
    )


def _is_service_account(change: OrganizationChange) -> ColumnElement[bool]:
    """Return the condition for the organization's service accounts."""
    return User.service_account_of == change.organization


async def _ends_of(
    change: OrganizationChange, users: ColumnElement[bool]
) -> dict[UserId, dict[Key, datetime]]:
    """Return when the access of each of these members ends, action by action, in one query."""
    found = (await change.session.execute(_held_until(change, users))).all()
    role_set = await roles_here(change, {RoleId(row[2]) for row in found if row[1] == "role"})
    ends: defaultdict[UserId, dict[Key, datetime]] = defaultdict(dict)
    for user, kind, name, verb, until in found:
        held, end = ends[user], until or NEVER
        keys: list[Key] = []
        if kind == "role":
            keys.extend(role_set.actions_of([RoleId(name)]))
        elif kind:
            keys.append((kind, name, verb))
        for key in keys:
            held[key] = max(end, held.get(key, NOT_HELD))
    return ends


def _held_until(
    change: OrganizationChange, users: ColumnElement[bool]
) -> CompoundSelect[UserId, str, str, str, datetime | None]:
    """Select what these members hold, and until when, as rows of user, kind, name, action and end.

    The kind is `role`, or the type of the object of a grant. The name is the role or the object's id.
    Each member has a row of the membership too, with an empty kind.
    """
    here = Membership.organization_id == change.organization
    members = (
        select(Membership.user_id, Membership.expires_at)
        .join(User, User.id == Membership.user_id)
        .where(here, users)
        .cte("members")
    )
    place = (TeamMembership.organization_id == change.organization) & (
        TeamMembership.user_id == members.c.user_id
    )
    return union_all(
        select(members.c.user_id, literal(""), literal(""), literal(""), members.c.expires_at),
        select(
            members.c.user_id,
            literal("role"),
            RoleAssignment.role,
            literal(""),
            func.least(members.c.expires_at, RoleAssignment.expires_at),
        ).where(
            RoleAssignment.organization_id == change.organization,
            RoleAssignment.user_id == members.c.user_id,
        ),
        select(
            members.c.user_id,
            literal("role"),
            TeamRole.role,
            literal(""),
            func.least(members.c.expires_at, TeamMembership.expires_at, TeamRole.expires_at),
        ).where(
            place,
            TeamRole.organization_id == change.organization,
            TeamRole.team_id == TeamMembership.team_id,
        ),
        select(
            members.c.user_id,
            Grant.type,
            Grant.resource_id,
            Grant.action,
            func.least(members.c.expires_at, Grant.expires_at),
        ).where(Grant.organization_id == change.organization, Grant.user_id == members.c.user_id),
        select(
            members.c.user_id,
            Grant.type,
            Grant.resource_id,
            Grant.action,
            func.least(members.c.expires_at, TeamMembership.expires_at, Grant.expires_at),
        ).where(
            place,
            Grant.organization_id == change.organization,
            Grant.team_id == TeamMembership.team_id,
        ),
    )
