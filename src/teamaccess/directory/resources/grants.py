"""Access to one object, for a member or a team, perhaps until a time."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import literal, select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.access.authorize import authorize
from teamaccess.access.giving import refuse_bad_end
from teamaccess.access.selves import is_self
from teamaccess.changes import Change
from teamaccess.changes.events import record
from teamaccess.common.errors import Forbidden
from teamaccess.directory.caps import refuse_full
from teamaccess.directory.members.find import UnknownMember
from teamaccess.directory.resources.find import Key, get_resource, type_of
from teamaccess.directory.resources.questions import UnknownAction
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


class GrantBeyondGiver(Forbidden):
    """Nobody gives what they do not have: to {resource} you may not {missing}."""


class GrantAboveActor(Forbidden):
    """Nobody takes away what they do not have: to {resource} you may not {missing}."""


class GrantKey(NamedTuple):
    """An action on the object, and who may do it."""

    action: str
    kind: HolderKind
    holder: str

    def __str__(self) -> str:
        return f"{self.action} {self.kind}:{self.holder}"


Wanted = Mapping[GrantKey, datetime | None]
"""Grants with their ends; None for one without."""


async def grants_on(
    session: AsyncSession, organization: OrganizationId, key: Key
) -> Sequence[Grant]:
    """Return what is granted on an object, also what has ended and nobody has swept yet."""
    found = await session.scalars(
        select(Grant)
        .where(
            Grant.organization_id == organization,
            Grant.type == key[0],
            Grant.resource_id == key[1],
        )
        .order_by(Grant.action, Grant.holder_kind, Grant.holder)
    )
    return found.all()


async def replace_grants(
    change: Change, actor: UserId, organization: OrganizationId, key: Key, wanted: Wanted
) -> Sequence[Grant]:
    """Have exactly this granted on an object, and return it.

    Raises UnknownResource, UnknownAction, UnknownMember, UnknownTeam, what `roles.rules` says of ends,
    GrantBeyondGiver and GrantAboveActor.
    """
    await authorize(change, actor, organization, "register_resources")
    resource = await get_resource(change.session, change.catalog, organization, key)
    _refuse_unknown_actions(change, resource, wanted)
    await _refuse_strangers(change, organization, wanted)
    for until in wanted.values():
        refuse_bad_end(change.catalog, until, change.now)
    before = {what(each): each for each in await grants_on(change.session, organization, key)}
    await _judge(change, actor, resource, before, wanted)
    here = select(literal(1)).where(Grant.organization_id == organization)
    more = len(wanted) - len(before)
    await refuse_full(change, organization, "grants", here, adding=more)
    was = [_told(each, grant.expires_at) for each, grant in before.items()]
    for each, grant in before.items():
        if each not in wanted:
            await change.session.delete(grant)
    for each, until in wanted.items():
        if each not in before:
            change.session.add(_granted(change, actor, resource, each, until))
            continue
        grant = before[each]
        if not grant.active(change.now):  # nobody has it any more, so it is given anew
            grant.granted_at, grant.granted_by = change.now, actor
        grant.expires_at = until
    await change.session.flush()
    now = [_told(each, wanted[each]) for each in sorted(wanted)]
    if now != was:
        about = str(resource.reference)
        await record(change, "grants_changed", organization, about, before=was, after=now)
    return await grants_on(change.session, organization, key)


def what(grant: Grant) -> GrantKey:
    """Return what a row grants to whom."""
    return GrantKey(grant.action, HolderKind(grant.holder_kind), grant.holder)


async def _judge(
    change: Change,
    actor: UserId,
    resource: Resource,
    before: Mapping[GrantKey, Grant],
    wanted: Wanted,
) -> None:
    """Refuse to give what the actor may not do to this very object, or to take it from others.

    The object is asked, not the organization: who holds the action there may do it to the object, and
    so may who was granted it, but never the object's creator where that takes four eyes.
    """
    ends = {each: grant.expires_at for each, grant in before.items() if grant.active(change.now)}
    giving = {each.action for each, until in wanted.items() if _gives(each, until, ends)}
    taking = {
        each.action
        for each, end in ends.items()
        if not (each.kind is HolderKind.USER and is_self(change, actor, UserId(each.holder)))
        and (each not in wanted or _later(end, wanted[each]))
    }
    verbs = type_of(change.catalog, resource.type).actions
    asked = (giving | taking) & verbs.keys()
    here = resource.organization_id
    held = await change.permitted(here, actor, asked, on=resource.reference)
    if missing := sorted(giving - held):
        raise GrantBeyondGiver(resource=resource.reference, missing=missing)
    # Whoever could take the action away everywhere may take it away here: also what they created.
    above = await authorize(
        change,
        actor,
        here,
        "register_resources",
        holding={verbs[verb] for verb in asked & taking - held},
    )
    if missing := sorted(verb for verb in asked & taking - held if verbs[verb] not in above):
        raise GrantAboveActor(resource=resource.reference, missing=missing)


def _gives(wanted: GrantKey, until: datetime | None, ends: Wanted) -> bool:
    """Whether it is new, or longer than what is there."""
    return wanted not in ends or _later(until, ends[wanted])


def _later(until: datetime | None, before: datetime | None) -> bool:
    return before is not None and (until is None or until > before)


def _refuse_unknown_actions(change: Change, resource: Resource, wanted: Wanted) -> None:
    known = type_of(change.catalog, resource.type).actions
    for each in wanted:
        if each.action not in known:
            raise UnknownAction(
                action=each.action, resource=resource.reference, actions=list(known)
            )


async def _refuse_strangers(change: Change, organization: OrganizationId, wanted: Wanted) -> None:
    """Raise UnknownMember and UnknownTeam for holders who are not the organization's."""
    users = {UserId(each.holder) for each in wanted if each.kind is HolderKind.USER}
    teams = {TeamId(each.holder) for each in wanted if each.kind is HolderKind.TEAM}
    members = await change.session.scalars(
        select(Membership.user_id).where(
            Membership.organization_id == organization,
            Membership.user_id.in_(filter(is_local_id, users)),
        )
    )
    for user in sorted(users - set(members)):
        raise UnknownMember(user=user, organization=organization)
    here = await change.session.scalars(
        select(Team.id).where(
            Team.organization_id == organization, Team.id.in_(filter(is_local_id, teams))
        )
    )
    for team in sorted(teams - set(here)):
        raise UnknownTeam(team=team, organization=organization)


def _granted(
    change: Change, actor: UserId, resource: Resource, wanted: GrantKey, until: datetime | None
) -> Grant:
    return Grant(
        organization_id=resource.organization_id,
        type=resource.type,
        resource_id=resource.id,
        action=wanted.action,
        holder_kind=wanted.kind,
        holder=wanted.holder,
        granted_at=change.now,
        granted_by=actor,
        expires_at=until,
    )


def _told(grant: GrantKey, until: datetime | None) -> str:
    return f"{grant} until {until.isoformat()}" if until is not None else str(grant)
