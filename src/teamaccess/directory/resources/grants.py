"""Access to one object, for a member or a team, perhaps until a time."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from msgspec import UNSET
from sqlalchemy import literal, select

from teamaccess.access.authorize import Gift, authorize, authorize_giving, is_later
from teamaccess.access.object_grants import GrantsOnObject
from teamaccess.catalog import ResourceType
from teamaccess.changes import OrganizationChange
from teamaccess.changes.caps import refuse_full
from teamaccess.changes.events import record_each
from teamaccess.changes.events.resources import GrantsChanged
from teamaccess.common.errors import Invalid, NotFound
from teamaccess.directory.members.find import UnknownMember
from teamaccess.directory.resources.find import ResourceKey, UnknownResource, type_of
from teamaccess.directory.resources.grant_rows import (
    GrantEnds,
    GrantKey,
    KnownGrants,
    delete_grants,
    grant_key_of,
    grants_on,
    read_grants,
)
from teamaccess.directory.resources.questions import UnknownResourceAction
from teamaccess.directory.teams.find import UnknownTeam
from teamaccess.storage import (
    Grant,
    HolderKind,
    Resource,
    UserId,
    is_local_id,
)


class GrantTwice(Invalid):
    """A request names the same grant twice."""

    message = "The grant {grant!r} is listed twice. List each grant once."


class UnknownGrant(NotFound):
    """The object has no such grant."""

    message = "There is no grant {grant!r} on {resource}."


class GrantName(NamedTuple):
    """An action or a role on an object, as a request names it."""

    text: str
    is_role: bool


class UnknownObjectRole(Invalid):
    """The type of the resource has no such role."""

    message = "There is no role {role!r} on {resource}. Its roles are: {roles}."


class GrantsReplaced(NamedTuple):
    """What is granted on an object now, and what was before."""

    grants: Sequence[Grant]
    before: GrantEnds


@dataclass(frozen=True)
class WantedGrants:
    """All grants that one object will have after the change."""

    key: ResourceKey
    wanted: GrantEnds
    names: Collection[GrantName] = ()
    """The names that the request uses. Each must be an action or a role, as the request says; other names
    in `wanted` may be either."""


def known_resource(change: OrganizationChange, known: KnownGrants, key: ResourceKey) -> Resource:
    """Return a registered object; raises UnknownResourceType and UnknownResource."""
    type_of(change.catalog, key[0])
    resource = known.resources.get(key)
    if resource is None or resource.removed_at is not None:
        raise UnknownResource(organization=change.organization, type=key[0], resource=key[1])
    return resource


async def replace_grants(
    change: OrganizationChange,
    key: ResourceKey,
    wanted: GrantEnds,
    names: Collection[GrantName] = (),
) -> GrantsReplaced:
    """Replace all grants on an object. Return the new grants, and those before.

    `names` are those of `WantedGrants`. Raises what `authorize_grants` does, and LimitReached.
    """
    # SECURITY: the guard comes first, so a caller without it does not learn what exists
    await authorize(change, "register_resources")
    known = await read_grants(change, [key], list(wanted))
    grants, before = WantedGrants(key, wanted, names), known.ends_on(key)
    await authorize_grants(change, known, grants)
    await write_grants(change, known, [grants])
    after = await grants_on(change.session, change.organization, key)
    return GrantsReplaced(after, before)


async def authorize_grants(
    change: OrganizationChange,
    known: KnownGrants,
    grants: WantedGrants,
    rows: Mapping[GrantKey, Grant] | None = None,
) -> None:
    """Check that the actor may replace `rows`, by default all grants on the object, with these grants.

    Raises what `authorize_giving` does, UnknownResourceType, UnknownResource, UnknownResourceAction,
    UnknownObjectRole, UnknownMember and UnknownTeam.
    """
    rows = known.on(grants.key) if rows is None else rows
    resource = known_resource(change, known, grants.key)
    _refuse_unknown_names(change, resource, grants, rows)
    _refuse_unknown_holders(change, known, grants.wanted, rows)
    gift = gift_of_grants(change, resource, rows, grants.wanted)
    await authorize_giving(change, "register_resources", gift)


async def write_grants(
    change: OrganizationChange, known: KnownGrants, objects: Sequence[WantedGrants]
) -> None:
    """Write the grants on all these objects, which must be authorized before. Raises LimitReached."""
    organization = change.organization
    present = select(literal(1)).where(Grant.organization_id == organization)
    adding = sum(len(each.wanted) - len(known.on(each.key)) for each in objects)
    await refuse_full(change, "grants", present, adding=adding)
    events, ended = [], []
    for each in objects:
        wanted, rows, before = each.wanted, known.on(each.key), known.ends_on(each.key)
        resource = known.resources[each.key]
        ended += [row for grant, row in rows.items() if grant not in wanted]
        for grant, end in wanted.items():
            if grant not in rows:
                change.session.add(_row(change, resource, grant, end))
                continue
            row = rows[grant]
            if not row.active(change.now):  # it has ended, so it is given again
                row.granted_at, row.granted_by = change.now, change.giver
            row.expires_at = end
        was = [_text(grant, end) for grant, end in before.items()]
        now = [_text(grant, wanted[grant]) for grant in sorted(wanted)]
        if now != was:
            events.append((GrantsChanged(before=was, after=now), str(resource.reference)))
    await delete_grants(change, ended)
    await record_each(change, events, organization)


async def add_grant(
    change: OrganizationChange,
    key: ResourceKey,
    grant: GrantKey,
    until: datetime | None,
    name: GrantName,
) -> GrantsReplaced:
    """Add one grant to the others on an object, until a time. Raises what `replace_grants` does."""
    wanted = {**await _present_grants(change, key), grant: until}
    return await replace_grants(change, key, wanted, [name])


async def remove_grant(
    change: OrganizationChange, key: ResourceKey, grant: GrantKey, name: GrantName
) -> GrantsReplaced:
    """Take one grant on an object away. Raises what `replace_grants` does, and UnknownGrant."""
    present = dict(await _present_grants(change, key))
    held = present.pop(grant, UNSET) is not UNSET
    replaced = await replace_grants(change, key, present, [name])
    if not held:
        raise UnknownGrant(grant=grant, resource=f"{key[0]}:{key[1]}")
    return replaced


async def _present_grants(change: OrganizationChange, key: ResourceKey) -> GrantEnds:
    """Return the grants on an object, without those that have ended."""
    if key[0] not in change.catalog.types or not is_local_id(key[1]):
        return {}
    rows = await grants_on(change.session, change.organization, key)
    return {grant_key_of(row): row.expires_at for row in rows if row.active(change.now)}


def gift_of_grants(
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
    grants: WantedGrants,
    rows: Mapping[GrantKey, Grant],
) -> None:
    """Raise UnknownObjectRole and UnknownResourceAction for what the type does not have.

    A grant that stays as it is, or is taken away, may have a name that the catalog no longer has.
    """
    kind, on, names = type_of(change.catalog, resource.type), resource.reference, grants.names
    given = dict.fromkeys(
        grant.action
        for grant, end in grants.wanted.items()
        if not _is_in_force(change, rows.get(grant), end)
    )
    others = given.keys() - {name.text for name in names}
    kept = [GrantName(each, is_role=each in kind.roles) for each in given if each in others]
    for text, is_role in dict.fromkeys([*names, *kept]):
        known, other_kind = (kind.roles, kind.actions) if is_role else (kind.actions, kind.roles)
        if text in known or not (text in given or text in other_kind):
            continue
        if is_role:
            raise UnknownObjectRole(role=text, resource=on, roles=list(kind.roles))
        raise UnknownResourceAction(action=text, resource=on, actions=list(kind.actions))


def _is_in_force(change: OrganizationChange, row: Grant | None, end: datetime | None) -> bool:
    """Return whether the grant is active with this end already."""
    return row is not None and row.active(change.now) and row.expires_at == end


def _refuse_unknown_holders(
    change: OrganizationChange,
    known: KnownGrants,
    wanted: GrantEnds,
    rows: Mapping[GrantKey, Grant],
) -> None:
    """Raise UnknownMember and UnknownTeam for holders that the organization does not have.

    Holders of grants that exist already are members and teams, as PostgreSQL's foreign keys say.
    """
    new = sorted((grant for grant in wanted if grant not in rows), key=lambda grant: grant.holder)
    for grant in new:
        if grant.kind is HolderKind.USER and grant.holder not in known.members:
            raise UnknownMember(user=grant.holder, organization=change.organization)
    for grant in new:
        if grant.kind is HolderKind.TEAM and grant.holder not in known.teams:
            raise UnknownTeam(team=grant.holder, organization=change.organization)


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
