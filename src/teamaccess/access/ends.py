"""When the access of members ends, action by action, according to the rows in PostgreSQL."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Text,
    bindparam,
    func,
    literal,
    select,
    union_all,
)

from teamaccess.access.holdings import role_set_in
from teamaccess.changes import OrganizationChange
from teamaccess.storage import (
    Grant,
    Membership,
    RoleAssignment,
    RoleId,
    TeamMembership,
    TeamRole,
    User,
    UserId,
)

NEVER = datetime.max.replace(tzinfo=UTC)
"""Stands for access without an end."""
NOT_HELD = datetime.min.replace(tzinfo=UTC)

ORGANIZATION = bindparam("organization", type_=Text)
"""The organization of the change, in a query that is built before the change."""

AccessKey = str | tuple[str, str, str]
"""An action in the organization, a permission to give a role, or the type, id and action of a grant."""
AccessEnds = Mapping[AccessKey, datetime]
"""When a user's access to each action ends."""


def access_end(change: OrganizationChange, ends: AccessEnds, key: AccessKey) -> datetime:
    """Return when access to the action ends. An action in the organization includes its objects.

    Somebody who holds every action of a role may give it, even without the permission to give it.
    """
    end = ends.get(key, NOT_HELD)
    if isinstance(key, str):
        given = change.catalog.roles_by_giving.get(key)
        if given is None:
            return end
        return max(
            end, min((ends.get(action, NOT_HELD) for action in given.actions), default=NEVER)
        )
    type, _, verb = key
    behind = change.catalog.types[type].actions.get(verb) if type in change.catalog.types else None
    return max(end, ends.get(behind, NOT_HELD)) if behind is not None else end


class MembersWhere:
    """Members by a condition. The query for their access is built once, because that takes milliseconds.

    The condition may have parameters. `organization` is the organization of the change.
    """

    def __init__(self, users: ColumnElement[bool], *, suspended: bool = False) -> None:
        """Leave out suspended members. With `suspended`, they count as if reactivated."""
        if not suspended:
            users = users & Membership.suspended_at.is_(None)
        self.query = _held_until(users)


async def read_access_ends(
    change: OrganizationChange, members: MembersWhere, **values: object
) -> dict[UserId, dict[AccessKey, datetime]]:
    """Return when the access of each of these members ends, action by action, with one query.

    `values` are the parameters of the condition.
    """
    parameters = {"organization": change.organization, **values}
    found = (await change.session.execute(members.query, parameters)).all()
    role_set = await role_set_in(change, {RoleId(row[2]) for row in found if row[1] == "role"})
    ends: defaultdict[UserId, dict[AccessKey, datetime]] = defaultdict(dict)
    for user, kind, name, verb, until in found:
        held, end = ends[user], until or NEVER
        keys: list[AccessKey] = []
        if kind == "role":
            keys.extend(role_set.permissions_of([RoleId(name)]))
        elif kind:
            keys.append((kind, name, verb))
        for key in keys:
            held[key] = max(end, held.get(key, NOT_HELD))
    return ends


def _held_until(
    users: ColumnElement[bool],
) -> CompoundSelect[UserId, str, str, str, datetime | None]:
    """Select what these members hold, and until when, as rows of user, kind, name, action and end.

    The kind is `role`, or the type of the object of a grant. The name is the role or the object's id.
    Each member also has one row for the membership itself, with an empty kind.
    """
    here = Membership.organization_id == ORGANIZATION
    members = (
        select(Membership.user_id, Membership.expires_at)
        .join(User, User.id == Membership.user_id)
        .where(here, users)
        .cte("members")
    )
    place = (TeamMembership.organization_id == ORGANIZATION) & (
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
            RoleAssignment.organization_id == ORGANIZATION,
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
            TeamRole.organization_id == ORGANIZATION,
            TeamRole.team_id == TeamMembership.team_id,
        ),
        select(
            members.c.user_id,
            Grant.type,
            Grant.resource_id,
            Grant.action,
            func.least(members.c.expires_at, Grant.expires_at),
        ).where(Grant.organization_id == ORGANIZATION, Grant.user_id == members.c.user_id),
        select(
            members.c.user_id,
            Grant.type,
            Grant.resource_id,
            Grant.action,
            func.least(members.c.expires_at, TeamMembership.expires_at, Grant.expires_at),
        ).where(
            place,
            Grant.organization_id == ORGANIZATION,
            Grant.team_id == TeamMembership.team_id,
        ),
    )
