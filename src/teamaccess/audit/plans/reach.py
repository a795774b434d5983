"""Which people and which actions a change can reach, from its updates and the catalog alone."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from teamaccess.catalog import Catalog
from teamaccess.relationships import ObjectReference, Relationship
from teamaccess.storage import UserId


class Reached(NamedTuple):
    """Actions that may change: throughout the organization, and on single objects."""

    actions: frozenset[str]
    """Actions of the catalog, and permissions to give roles. An action stands also for the actions on
    objects that it gives."""
    on_objects: frozenset[tuple[ObjectReference, str]]
    """Actions on one object."""

    def __or__(self, other: "Reached") -> "Reached":
        """Return what either reaches."""
        return Reached(self.actions | other.actions, self.on_objects | other.on_objects)


NOTHING = Reached(frozenset(), frozenset())


def userset_of(relationship: Relationship) -> str:
    """Return the userset, the resource and relation, such as `team:acme/pay#member`."""
    return f"{relationship.resource}#{relationship.relation}"


class Reach:
    """What updates can reach.

    It follows the shape of every compiled schema: users are in teams, users and teams hold roles, and
    roles, grants and creators decide actions behind the membership gate. `known` are the relationships
    around the updates, from before and after them. They include all members of a userset in an update.
    """

    def __init__(self, catalog: Catalog, known: Iterable[Relationship]) -> None:
        self._catalog = catalog
        self._subjects: dict[str, list[Relationship]] = defaultdict(list)
        """Relationships by their userset (resource and relation)."""
        self._usersets: dict[str, set[str]] = defaultdict(set)
        """The usersets that contain a userset, by the contained one."""
        self._resources: dict[str, tuple[ObjectReference, str]] = {}
        for relationship in known:
            userset = userset_of(relationship)
            self._subjects[userset].append(relationship)
            self._resources[userset] = (relationship.resource, relationship.relation)
            if relationship.subject.relation is not None:
                self._usersets[str(relationship.subject)].add(userset)
        self._given: dict[str, Reached] = {}

    def by_user(self, updated: Iterable[Relationship]) -> Mapping[UserId, Reached]:
        """Return what may change for each user, without what may change for everybody."""
        reached: dict[UserId, Reached] = {}
        for relationship in updated:
            gives = self._gives(userset_of(relationship))
            if gives == NOTHING:
                continue
            for user in self._people(str(relationship.subject)):
                reached[user] = reached[user] | gives if user in reached else gives
        return reached

    def by_everybody(self, updated: Iterable[Relationship]) -> Reached:
        """Return the actions that may change for every member: all those on a new or a removed object."""
        objects = {
            relationship.resource
            for relationship in updated
            if relationship.relation == "organization"
            and relationship.resource.type in self._catalog.types
        }
        return Reached(
            frozenset(),
            frozenset(
                (on, action) for on in objects for action in self._catalog.types[on.type].actions
            ),
        )

    def _people(self, subject: str) -> Iterator[UserId]:
        """Yield the users that a subject stands for."""
        kind, _, id = subject.partition(":")
        if kind == "user":
            yield UserId(id)
        for relationship in self._subjects.get(subject, ()):
            yield from self._people(str(relationship.subject))

    def _gives(self, userset: str) -> Reached:
        """Return what a subject may gain by being in a userset."""
        if userset not in self._given:
            reached = self._own(*self._resources[userset])
            for further in self._usersets.get(userset, ()):
                reached |= self._gives(further)
            self._given[userset] = reached
        return self._given[userset]

    def _own(self, resource: ObjectReference, relation: str) -> Reached:
        catalog = self._catalog
        if resource.type == "organization":
            return Reached(self._organization_actions(relation), frozenset())
        if resource.type in catalog.types:
            kind = catalog.types[resource.type]
            on = set(kind.actions_granted(relation.removeprefix("granted_")))
            if relation == "creator":
                on |= {
                    action
                    for action, behind in kind.actions.items()
                    if catalog.actions[behind].four_eyes
                }
            return Reached(frozenset(), frozenset((resource, action) for action in on))
        return NOTHING

    def _organization_actions(self, relation: str) -> frozenset[str]:
        catalog = self._catalog
        if relation == "member":
            return frozenset(catalog.permissions)
        if relation in catalog.roles:
            return catalog.permissions_of(relation)
        return frozenset(
            action.id for action in catalog.actions.values() if relation == action.grant_relation
        )
