"""Read the rows around a rehearsed change: only those that decide what the change can reach."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ARRAY, ColumnElement, Table, Text, and_, any_, literal, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.audit.plans.reach import Reach, Reached
from teamaccess.catalog import Catalog
from teamaccess.changes import OrganizationChange
from teamaccess.relationships import Delete, ObjectReference, Relationship, Touch, Update
from teamaccess.storage import (
    CustomRoleAction,
    Grant,
    Membership,
    OrganizationId,
    RelationshipSource,
    Resource,
    RoleAssignment,
    TeamMembership,
    TeamRole,
    UserId,
)

State = dict[str, Relationship]
"""Relationships that have not expired, by identity."""


@dataclass
class RelatedRows:
    """What a change can reach, and the relationships that decide it, before and after the change."""

    organization: OrganizationId
    reached: dict[UserId, Reached]
    """The actions that may change for each user."""
    objects: list[str]
    """The objects that an action throughout the organization reaches, such as `webhook:acme/wh_1`.
    Their relationships to the organization are in the states only if the change touches them."""
    before: State
    after: State


async def read_related_rows(change: OrganizationChange, updates: list[Update]) -> RelatedRows:
    """Return what the updates of an open change can reach. The session has the state after them."""
    reader = _Reader(change.session, change.organization)
    updated = [each for update in updates for each in _versions(update)]
    everybody = Reach(change.catalog, updated).by_everybody(updated)
    await reader.read_sets(updated)
    users = _users(updated) | _users(reader.found)
    await reader.read_users(users, updated, all_users=bool(everybody.on_objects))
    reached = dict(Reach(change.catalog, reader.found.union(updated)).by_user(updated))
    if everybody.on_objects:
        for user in _users(reader.found) | users:
            reached[user] = reached[user] | everybody if user in reached else everybody
    single = {on for each in reached.values() for on, _ in each.on_objects}
    types = _types(change.catalog, reached.values())
    objects = await reader.read_objects(users, types, single)
    after = {each.identity: each for each in reader.found}
    before = _undo(after, updates)
    return RelatedRows(
        change.organization,
        reached,
        objects,
        _in_force(before, change.now, change.catalog),
        _in_force(after, change.now, change.catalog),
    )


class _Reader:
    """Reads rows of one organization as relationships, without building mapped objects."""

    def __init__(self, session: AsyncSession, organization: OrganizationId) -> None:
        self._session, self._organization = session, organization
        self.found: set[Relationship] = set()

    async def read_sets(self, updated: Iterable[Relationship]) -> None:
        """Read who is in the subject sets of the updates: holders of roles, members of teams."""
        roles = {_local(each.subject.object) for each in updated if _is_set(each, "role")}
        if roles:
            for source in (RoleAssignment, TeamRole):
                await self._read(source, source.custom.is_(True), _one_of(source.role, roles))
        subjects = [*updated, *self.found]
        teams = {_local(each.subject.object) for each in subjects if _is_set(each, "team")}
        if teams:
            await self._read(TeamMembership, _one_of(TeamMembership.team_id, teams))

    async def read_users(
        self, users: Collection[UserId], updated: Iterable[Relationship], *, all_users: bool
    ) -> None:
        """Read what the users, or all users, have: memberships, roles, teams, and what those contain.

        The grants are only those of `users` and of their teams.
        """
        for source in (Membership, RoleAssignment, TeamMembership):
            await self._read(source, *([] if all_users else [_one_of(source.user_id, users)]))
        related = self.found.union(updated)
        teams = _named(related, "team")
        if teams:
            await self._read(TeamRole, _one_of(TeamRole.team_id, teams))
        roles = _named(self.found.union(updated), "role")
        if roles:
            await self._read(CustomRoleAction, _one_of(CustomRoleAction.role, roles))
        theirs = {each for each in related if each.subject.object.id in users}
        teams_with_grants = _named(theirs.union(updated), "team")
        await self._read(
            Grant, or_(_one_of(Grant.user_id, users), _one_of(Grant.team_id, teams_with_grants))
        )

    async def read_objects(
        self, users: Collection[UserId], types: set[str], single: set[ObjectReference]
    ) -> list[str]:
        """Read who created objects, and the grants on single ones. Return all objects of some types."""
        creators = []
        if types:
            creators.append(and_(_one_of(Resource.type, types), _one_of(Resource.creator, users)))
        if single:
            keys = [(on.type, _local(on)) for on in single]
            await self._read(Grant, tuple_(Grant.type, Grant.resource_id).in_(keys))
            creators.append(tuple_(Resource.type, Resource.id).in_(keys))
        if creators:
            await self._read(Resource, Resource.removed_at.is_(None), or_(*creators))
        if not types:
            return []
        present = select(Resource.type, Resource.id).where(
            Resource.organization_id == self._organization,
            Resource.removed_at.is_(None),
            _one_of(Resource.type, types),
        )
        prefix = self._organization
        return [f"{type}:{prefix}/{id}" for type, id in await self._session.execute(present)]

    async def _read(self, source: type[RelationshipSource], *where: ColumnElement[bool]) -> None:
        table = cast(Table, source.__table__)
        own = table.c.organization_id == self._organization
        rows = await self._session.execute(select(table).where(own, *where))
        for row in rows:
            self.found.update(source.relationships(cast(RelationshipSource, row)))


def _types(catalog: Catalog, reached: Iterable[Reached]) -> set[str]:
    """Return the types of objects that an action throughout the organization reaches."""
    actions = frozenset().union(*(each.actions for each in reached))
    return {
        type.id for type in catalog.types.values() if not actions.isdisjoint(type.actions.values())
    }


def _versions(update: Update) -> list[Relationship]:
    was = update.was if isinstance(update, Touch) else None
    return [update.relationship] if was is None else [update.relationship, was]


def _undo(after: State, updates: Iterable[Update]) -> State:
    """Return the state before the updates. Adds to `after` what the updates wrote and no query read."""
    before = dict(after)
    for update in updates:
        identity = update.relationship.identity
        match update:
            case Touch(new, was):
                after.setdefault(identity, new)
                before.pop(identity, None)
                if was is not None:
                    before[identity] = was
            case Delete(old):
                before[identity] = old
    return before


def _in_force(state: State, now: datetime, catalog: Catalog) -> State:
    return {
        identity: each
        for identity, each in state.items()
        if not each.expired(now) and catalog.schema_allows(each)
    }


def _users(relationships: Iterable[Relationship]) -> set[UserId]:
    return {
        UserId(each.subject.object.id)
        for each in relationships
        if each.subject.object.type == "user"
    }


def _named(relationships: Iterable[Relationship], type: str) -> set[str]:
    """Return the ids of the teams, or of the custom roles, that the relationships name."""
    return {
        _local(on)
        for each in relationships
        for on in (each.resource, each.subject.object)
        if on.type == type
    }


def _is_set(relationship: Relationship, type: str) -> bool:
    return relationship.subject.object.type == type and relationship.subject.relation is not None


def _local(on: ObjectReference) -> str:
    return on.id.partition("/")[2]


def _one_of(column: Any, values: Collection[str]) -> ColumnElement[bool]:
    """Return the condition for one of many values, sent as one parameter."""
    return cast("ColumnElement[bool]", column == any_(literal(sorted(values), ARRAY(Text))))
