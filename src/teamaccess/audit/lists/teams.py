"""Teams, roles and grants at a past time, as rows that belong to no session."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.audit.lists.past_directory import PastDirectory
from teamaccess.directory.resources.find import ResourceKey, UnknownResource, type_of
from teamaccess.directory.roles.find import RoleEntry
from teamaccess.directory.roles.holders import Holders
from teamaccess.storage import (
    CustomRole,
    CustomRoleAction,
    Grant,
    ResourceId,
    RoleId,
    Team,
    TeamId,
    TeamRole,
    UserId,
)

TEAM_EVENTS = ("team_created", "team_renamed", "team_deleted")


async def teams_at(session: AsyncSession, past: PastDirectory) -> list[Team]:
    """Return the teams with their roles, the oldest first."""
    held = _roles_of_teams(past)
    teams: dict[TeamId, Team] = {}
    for id, events in past.events_by_subject(*TEAM_EVENTS).items():
        made = [event for event in events if event.kind == "team_created"]
        if events[-1].kind != "team_deleted" and made:
            teams[TeamId(id)] = Team(
                organization_id=past.organization,
                id=TeamId(id),
                name=events[-1].details.name or id,
                created_at=made[-1].occurred_at,
            )
    known = await session.scalars(select(Team).where(Team.organization_id == past.organization))
    for row in known:
        # An operator made this team, without an event.
        if row.id not in teams and row.created_at <= past.at:
            teams[row.id] = Team(
                organization_id=past.organization,
                id=row.id,
                name=row.name,
                created_at=row.created_at,
            )
    for id, team in teams.items():
        team.roles = held.get(id, [])
    return sorted(teams.values(), key=lambda team: (team.created_at, team.id))


async def teams_in_force_at(
    session: AsyncSession, past: PastDirectory
) -> list[tuple[Team, datetime]]:
    """Return the teams, each with the time at which its roles are in force."""
    return [(team, past.at) for team in await teams_at(session, past)]


def _roles_of_teams(past: PastDirectory) -> dict[str, list[TeamRole]]:
    prefix, suffix = f"team:{past.organization}/", "#member"
    found: dict[str, list[TeamRole]] = {}
    held = [
        (relation, subject, fact)
        for relation, subject, fact in past.of(f"organization:{past.organization}")
        if relation in past.catalog.roles
    ]
    held += [
        (role, subject, fact)
        for role, holders in past.by_local_id("role").items()
        for _, subject, fact in holders
    ]
    for role, subject, fact in held:
        if subject.startswith(prefix):
            row = TeamRole(
                role=RoleId(role), granted_at=past.began(fact), expires_at=fact.expires_at
            )
            found.setdefault(subject.removeprefix(prefix).removesuffix(suffix), []).append(row)
    return found


async def roles_at(session: AsyncSession, past: PastDirectory) -> list[RoleEntry]:
    """Return the roles with their holders: the catalog's of that time, then custom roles."""
    place = past.of(f"organization:{past.organization}")
    relations = {action.grant_relation: action.id for action in past.catalog.actions.values()}
    prefix = f"role:{past.organization}/"
    actions: dict[str, list[str]] = {}
    since: dict[str, list[int]] = {}
    by_position = {fact.began: past.began(fact) for fact in past.facts}
    for relation, subject, fact in place:
        if relation in relations and subject.startswith(prefix):
            id = subject.removeprefix(prefix).removesuffix("#member")
            actions.setdefault(id, []).append(relations[relation])
            since.setdefault(id, []).append(fact.began)
    rows = await session.scalars(
        select(CustomRole).where(CustomRole.organization_id == past.organization)
    )
    today = {row.id: row for row in rows}
    custom = []
    for id, allowed in actions.items():
        row = today.get(RoleId(id))
        custom.append(
            CustomRole(
                organization_id=past.organization,
                id=RoleId(id),
                name=row.name if row is not None else id,
                description=row.description if row is not None else None,
                selectors=[],
                created_at=by_position[min(since[id])],
                allowed=[CustomRoleAction(action=action) for action in sorted(allowed)],
            )
        )
    holders = {
        role: [subject for relation, subject, _ in place if relation == role]
        for role in past.catalog.roles
    }
    held = past.by_local_id("role")
    entries = [RoleEntry(role, _holders(holders[role.id])) for role in past.catalog.roles.values()]
    entries += [
        RoleEntry(role, _holders([subject for _, subject, _ in held.get(role.id, ())]))
        for role in sorted(custom, key=lambda role: (role.created_at, role.id))
    ]
    return entries


def _holders(subjects: Sequence[str]) -> Holders:
    members = sum(subject.startswith("user:") for subject in subjects)
    return Holders(members=members, teams=len(subjects) - members)


def grants_at(past: PastDirectory, key: ResourceKey) -> list[Grant]:
    """Return the grants on an object. Raises UnknownResourceType and UnknownResource."""
    type_of(past.catalog, key[0])
    found = past.by_local_id(key[0]).get(key[1], [])
    if not any(relation == "organization" for relation, _, _ in found):
        raise UnknownResource(organization=past.organization, type=key[0], resource=key[1])
    grants = []
    for relation, subject, fact in found:
        if not relation.startswith("granted_"):
            continue
        kind, _, id = subject.partition(":")
        holder = id if kind == "user" else id.partition("/")[2].removesuffix("#member")
        grants.append(
            Grant(
                organization_id=past.organization,
                type=key[0],
                resource_id=ResourceId(key[1]),
                action=relation.removeprefix("granted_"),
                holder_kind=kind,
                holder=holder,
                granted_at=past.began(fact),
                granted_by=UserId(past.giver(fact)),
                expires_at=fact.expires_at,
            )
        )
    return sorted(grants, key=lambda each: (each.action, each.holder_kind, each.holder))
