"""Access to one object, for a member or a team, perhaps until a time."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from msgspec import UNSET
from sqlalchemy import literal, select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.access.authorize import Gift, GrantsOnObject, authorize, authorize_giving, is_later
from teamaccess.catalog import ResourceType
from teamaccess.changes import OrganizationChange
from teamaccess.changes.caps import refuse_full
from teamaccess.changes.events import record
from teamaccess.changes.events.resources import GrantsChanged
from teamaccess.common.errors import Invalid, NotFound
from teamaccess.directory.members.find import UnknownMember
from teamaccess.directory.resources.find import Key, get_resource, type_of
from teamaccess.directory.resources.questions import UnknownResourceAction
from teamaccess.directory.teams.find import UnknownTeam
from teamaccess.storage import (
    Grant,
    HolderKind,
    Membership,
    OrganizationId,
    Resource,
    Team,
    TeamId,
    UserId,
    is_local_id,
)


class GrantTwice(Invalid):
    """A request names the same grant twice."""

    message = "The grant {grant!r} is listed twice. List each grant once."


class UnknownGrant(NotFound):
    """The object has no such grant."""

    message = "There is no grant {grant!r} on {resource}."


class GrantKey(NamedTuple):
    """An action or a role on an object, and the member or team that gets it."""

    action: str
    kind: HolderKind
    holder: str

    def __str__(self) -> str:
        return f"{self.action} {self.kind}:{self.holder}"


class GrantName(NamedTuple):
    """An action or a role on an object, as a request names it."""

    text: str
    is_role: bool


GrantEnds = Mapping[GrantKey, datetime | None]
"""Grants with their ends; None for a grant without one."""


class UnknownObjectRole(Invalid):
    """The type of the resource has no such role."""

    message = "There is no role {role!r} on {resource}. Its roles are: {roles}."


class GrantsReplaced(NamedTuple):
    """What is granted on an object now, and what was before."""

    grants: Sequence[Grant]
    before: GrantEnds


async def grants_on(
    session: AsyncSession, organization: OrganizationId, key: Key
) -> Sequence[Grant]:
    """Return the grants on an object, also those that have ended and are not swept yet."""
    rows = await session.scalars(
        select(Grant)
        .where(
            Grant.organization_id == organization,
            Grant.type == key[0],
            Grant.resource_id == key[1],
        )
        .order_by(Grant.action, Grant.holder_kind, Grant.holder)
    )
    return rows.all()


async def replace_grants(
    change: OrganizationChange, key: Key, wanted: GrantEnds, names: Collection[GrantName] = ()
) -> GrantsReplaced:
    """Replace all grants on an object. Return the new grants, and those before.

    `names` are those that the request uses. Each must be an action or a role, as the request says; other
    names in `wanted` may be either.

    Raises what `authorize_giving` does, UnknownResourceType, UnknownResource, UnknownResourceAction,
    UnknownObjectRole, UnknownMember, UnknownTeam and LimitReached.
    """
    organization = change.organization
    # SECURITY: the guard first, so that nothing is revealed of what the request names
    await authorize(change, "register_resources")
    resource = await get_resource(change.session, change.catalog, organization, key)
    _refuse_unknown_names(change, resource, wanted, names)
    await _refuse_unknown_holders(change, wanted)
    rows = {grant_key_of(row): row for row in await grants_on(change.session, organization, key)}
    before = {grant: row.expires_at for grant, row in rows.items()}
    await authorize_giving(change, "register_resources", _gift(change, resource, rows, wanted))
    present = select(literal(1)).where(Grant.organization_id == organization)
    await refuse_full(change, "grants", present, adding=len(wanted) - len(rows))
    for grant, row in rows.items():
        if grant not in wanted:
            await change.session.delete(row)
    for grant, end in wanted.items():
        if grant not in rows:
            change.session.add(_row(change, resource, grant, end))
            continue
        row = rows[grant]
        if not row.active(change.now):  # it has ended, so it is given again
            row.granted_at, row.granted_by = change.now, change.giver
        row.expires_at = end
    await change.session.flush()
    was = [_text(grant, end) for grant, end in before.items()]
    now = [_text(grant, wanted[grant]) for grant in sorted(wanted)]
    if now != was:
        subject = str(resource.reference)
        await record(change, GrantsChanged(before=was, after=now), organization, subject)
    return GrantsReplaced(await grants_on(change.session, organization, key), before)


async def add_grant(
    change: OrganizationChange,
    key: Key,
    grant: GrantKey,
    until: datetime | None,
    name: GrantName,
) -> GrantsReplaced:
    """Add one grant to the others on an object, until a time. Raises what `replace_grants` does."""
    wanted = {**await present_grants(change, key), grant: until}
    return await replace_grants(change, key, wanted, [name])


async def remove_grant(
    change: OrganizationChange, key: Key, grant: GrantKey, name: GrantName
) -> GrantsReplaced:
    """Take one grant on an object away. Raises what `replace_grants` does, and UnknownGrant."""
    present = dict(await present_grants(change, key))
    held = present.pop(grant, UNSET) is not UNSET
    replaced = await replace_grants(change, key, present, [name])
    if not held:
        raise UnknownGrant(grant=grant, resource=f"{key[0]}:{key[1]}")
    return replaced


async def present_grants(change: OrganizationChange, key: Key) -> GrantEnds:
    """Return the grants on an object, without those that have ended."""
    if key[0] not in change.catalog.types or not is_local_id(key[1]):
        return {}
    rows = await grants_on(change.session, change.organization, key)
    return {grant_key_of(row): row.expires_at for row in rows if row.active(change.now)}


def grant_key_of(row: Grant) -> GrantKey:
    """Return the action or role, and the holder of a row."""
    return GrantKey(row.action, HolderKind(row.holder_kind), row.holder)


def _gift(
    change: OrganizationChange,
    resource: Resource,
    rows: Mapping[GrantKey, Grant],
    wanted: GrantEnds,
) -> Gift:
    """Return what the change gives, and what it takes from holders other than the actor in person."""
    in_force = {grant: row.expires_at for grant, row in rows.items() if row.active(change.now)}
    given = [
        grant
        for grant, end in wanted.items()
        if grant not in in_force or is_later(end, in_force[grant])
    ]
    taken = [
        grant
        for grant, end in in_force.items()
        if not (grant.kind is HolderKind.USER and change.is_self(UserId(grant.holder)))
        and (grant not in wanted or is_later(end, wanted[grant]))
    ]
    kind = type_of(change.catalog, resource.type)
    ends = [
        end for grant, end in wanted.items() if grant not in rows or end != rows[grant].expires_at
    ]
    # a grant that the catalog no longer knows gives nothing, so everybody with the guard can remove it
    grants = GrantsOnObject(
        resource.reference, _actions(kind, given), _actions(kind, taken), kind.actions
    )
    return Gift(ends=ends, grants=grants)


def _actions(kind: ResourceType, grants: Iterable[GrantKey]) -> frozenset[str]:
    """Return the actions that the grants give together."""
    return frozenset().union(*(kind.actions_granted(grant.action) for grant in grants))


def _refuse_unknown_names(
    change: OrganizationChange,
    resource: Resource,
    wanted: GrantEnds,
    names: Collection[GrantName],
) -> None:
    """Raise UnknownObjectRole and UnknownResourceAction for what the type does not have.

    A grant that is taken away may have a name that the catalog no longer has.
    """
    kind, on = type_of(change.catalog, resource.type), resource.reference
    given = dict.fromkeys(grant.action for grant in wanted)
    others = given.keys() - {name.text for name in names}
    kept = [GrantName(each, is_role=each in kind.roles) for each in given if each in others]
    for text, is_role in dict.fromkeys([*names, *kept]):
        known, other_kind = (kind.roles, kind.actions) if is_role else (kind.actions, kind.roles)
        if text in known or not (text in given or text in other_kind):
            continue
        if is_role:
            raise UnknownObjectRole(role=text, resource=on, roles=list(kind.roles))
        raise UnknownResourceAction(action=text, resource=on, actions=list(kind.actions))


async def _refuse_unknown_holders(change: OrganizationChange, wanted: GrantEnds) -> None:
    """Raise UnknownMember and UnknownTeam for holders that the organization does not have."""
    organization = change.organization
    users = {UserId(grant.holder) for grant in wanted if grant.kind is HolderKind.USER}
    teams = {TeamId(grant.holder) for grant in wanted if grant.kind is HolderKind.TEAM}
    members = await change.session.scalars(
        select(Membership.user_id).where(
            Membership.organization_id == organization,
            Membership.user_id.in_(filter(is_local_id, users)),
        )
    )
    for user in sorted(users - set(members)):
        raise UnknownMember(user=user, organization=organization)
    existing = await change.session.scalars(
        select(Team.id).where(
            Team.organization_id == organization, Team.id.in_(filter(is_local_id, teams))
        )
    )
    for team in sorted(teams - set(existing)):
        raise UnknownTeam(team=team, organization=organization)


def _row(
    change: OrganizationChange, resource: Resource, grant: GrantKey, end: datetime | None
) -> Grant:
    return Grant(
        organization_id=resource.organization_id,
        type=resource.type,
        resource_id=resource.id,
        action=grant.action,
        holder_kind=grant.kind,
        holder=grant.holder,
        granted_at=change.now,
        granted_by=change.giver,
        expires_at=end,
    )


def _text(grant: GrantKey, end: datetime | None) -> str:
    return f"{grant} until {end.isoformat()}" if end is not None else str(grant)
