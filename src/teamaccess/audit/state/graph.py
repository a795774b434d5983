"""Finds every path by which a user has an action, from the relationships that the ledger records."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from teamaccess.audit.state.facts import Fact, Facts
from teamaccess.catalog import Catalog
from teamaccess.relationships import ObjectReference, SubjectReference, team
from teamaccess.relationships import organization as organization_object
from teamaccess.relationships import user as user_object
from teamaccess.storage import OrganizationId, UserId

RelationPaths = Iterator[tuple[str | None, tuple[Fact, ...]]]
"""The team through which a user has a relation (None if directly), and the facts that give it."""


class Path(NamedTuple):
    """One path by which a user has an action."""

    role: str | None
    """The role that contains the action; None for a grant of the action itself on one object."""
    custom: bool
    """Whether the role is a custom role."""
    team: str | None
    """The team that holds the role or the grant, if the user has it through a team."""
    links: tuple[Fact, ...]
    """Its relationships, from the membership to the action. All of them are necessary."""
    on_object: bool = False
    """Whether the role or the action was granted on one object."""

    @property
    def since(self) -> int:
        """The position since which all of its relationships have existed."""
        return max(link.began for link in self.links)

    @property
    def expires_at(self) -> datetime | None:
        """When the first of its relationships ends by itself; None if none does."""
        ends = (link.expires_at for link in self.links)
        return min((end for end in ends if end is not None), default=None)

    def expired(self, now: datetime) -> bool:
        """Return whether one of its relationships has expired."""
        return self.expires_at is not None and self.expires_at <= now


def positions_in(paths: Iterable[Sequence[Path]]) -> set[int]:
    """Return every ledger position that the paths name."""
    return {
        position
        for paths_of_one in paths
        for path in paths_of_one
        for link in path.links
        for position in (link.began, link.position)
    }


class Graph:
    """The relationships of one organization at one time."""

    def __init__(
        self, catalog: Catalog, organization: OrganizationId, facts: Facts, now: datetime
    ) -> None:
        self._catalog, self._organization_id = catalog, organization
        self._organization = organization_object(organization)
        self._ended = dict(facts.ended)
        self._current: dict[str, Fact] = {}
        self._subjects: dict[str, list[str]] = defaultdict(list)
        """Subjects by resource and relation, such as `team:acme/pay#member`."""
        self._teams: dict[str, list[str]] = defaultdict(list)
        """Team ids by user id."""
        self._objects: dict[str, list[str]] = defaultdict(list)
        """Registered objects by type."""
        for identity, fact in facts.current.items():
            if (end := fact.expires_at) is None or end > now:
                self._current[identity] = fact
                self._index(identity)
            else:
                self._ended[identity] = fact

    @property
    def facts(self) -> Facts:
        """A copy of the graph's relationships."""
        return Facts(dict(self._current), dict(self._ended))

    @property
    def members(self) -> set[UserId]:
        """All active members: the membership gate is open for them."""
        return self._users(f"{self._organization}#member")

    def users_with(self, action: str) -> set[UserId]:
        """Return everybody who has an action throughout the organization."""
        about = self._catalog.permissions[action]
        predefined = [self._all_users(f"{self._organization}#{role}") for role in about.roles]
        custom = [self._all_users(f"{role}#member") for role in self._custom_roles_with(action)]
        return set().union(*predefined, *custom) & self.members

    def membership_expired(self, user: UserId, now: datetime) -> bool:
        """Return whether the user has a membership that has expired."""
        gate = self.fact(self._organization, "member", user_object(user))
        return gate is not None and gate.expires_at is not None and gate.expires_at <= now

    def object_actions(self, user: UserId) -> set[tuple[str, ObjectReference]]:
        """Return the actions that a user has on each registered object."""
        return {
            (action, on)
            for type in self._catalog.types.values()
            for on in (ObjectReference.parse(text) for text in self._objects[type.id])
            for action in type.actions
            if self.paths(user, action, on)
        }

    def paths(self, user: UserId, action: str, on: ObjectReference | None = None) -> list[Path]:
        """Return every path by which a user has an action.

        Without `on` it is an action of the catalog, or a permission to give a role, throughout the
        organization. With `on` it is an action of that object's type.
        """
        gate = self.fact(self._organization, "member", user_object(user))
        if gate is None:
            return []
        paths = (
            self._organization_paths(user, action)
            if on is None
            else self._object_paths(user, action, on)
        )
        return [path._replace(links=(gate, *path.links)) for path in paths]

    def fact(
        self,
        resource: ObjectReference,
        relation: str,
        subject: ObjectReference | SubjectReference,
    ) -> Fact | None:
        """Return the relationship if it exists at this time."""
        return self._current.get(f"{resource}#{relation}@{subject}")

    def ended(
        self,
        resource: ObjectReference,
        relation: str,
        subject: ObjectReference | SubjectReference,
    ) -> Fact | None:
        """Return the relationship if it existed once and has ended."""
        return self._ended.get(f"{resource}#{relation}@{subject}")

    def roles_of(self, user: UserId) -> list[str]:
        """Return the ids of the roles that a user holds, directly or through a team."""
        roles = [
            role
            for role in self._catalog.roles
            if any(self._relation_paths(self._organization, role, user))
        ]
        for key in self._subjects:
            if key.startswith("role:") and key.endswith("#member"):
                custom = ObjectReference.parse(key.removesuffix("#member"))
                if any(self._relation_paths(custom, "member", user)):
                    roles.append(custom.id.partition("/")[2])
        return roles

    def ended_paths(self, user: UserId, action: str) -> list[Fact]:
        """Return the relationships that a user lost and that would give the action, newest first.

        Each is a role of the user, a place in a team that holds a role, or a role of a team of the user.
        """
        about = self._catalog.permissions[action]
        holdable = [(self._organization, role) for role in about.roles]
        holdable += [
            (ObjectReference.parse(role), "member") for role in self._custom_roles_with(action)
        ]
        team_ids = {*self._teams[user], *self._former_teams(user)}
        subject = user_object(user)
        ended = []
        for resource, relation in holdable:
            ended.append(self.ended(resource, relation, subject))
            for team_id in team_ids:
                of_team = team(self._organization_id, team_id)
                team_holds = self.fact(resource, relation, of_team.subject("member"))
                ended.append(self.ended(resource, relation, of_team.subject("member")))
                ended.append(self.ended(of_team, "member", subject) if team_holds else None)
        return sorted((fact for fact in ended if fact), key=_position, reverse=True)

    def ended_grants(self, on: ObjectReference, user: UserId, action: str) -> list[Fact]:
        """Return the grants of an action on an object that a user had, by itself or by a role."""
        names = self._catalog.types[on.type].grants_of(action)
        ended = (self.ended(on, f"granted_{name}", user_object(user)) for name in names)
        return [fact for fact in ended if fact is not None]

    def _former_teams(self, user: UserId) -> list[str]:
        suffix = f"#member@{user_object(user)}"
        return [
            identity.removesuffix(suffix).partition("/")[2]
            for identity in self._ended
            if identity.startswith("team:") and identity.endswith(suffix)
        ]

    def _organization_paths(self, user: UserId, action: str) -> Iterator[Path]:
        about = self._catalog.permissions[action]
        for role in about.roles:
            for team_id, links in self._relation_paths(self._organization, role, user):
                yield Path(role, False, team_id, links)
        for text in self._custom_roles_with(action):
            role_object = ObjectReference.parse(text)
            granted = self.fact(
                self._organization, about.grant_relation, role_object.subject("member")
            )
            for team_id, links in self._relation_paths(role_object, "member", user):
                if granted is not None:
                    yield Path(role_object.id.partition("/")[2], True, team_id, (*links, granted))

    def _object_paths(self, user: UserId, action: str, on: ObjectReference) -> Iterator[Path]:
        catalog_action = self._catalog.types[on.type].actions[action]
        four_eyes = self._catalog.actions[catalog_action].four_eyes
        if four_eyes and self.fact(on, "creator", user_object(user)):
            return
        registered = self.fact(on, "organization", self._organization)
        if registered is None:
            return
        for path in self._organization_paths(user, catalog_action):
            yield path._replace(links=(*path.links, registered))
        for name in self._catalog.types[on.type].grants_of(action):
            role = None if name == action else name
            for team_id, links in self._relation_paths(on, f"granted_{name}", user):
                yield Path(role, False, team_id, (*links, registered), on_object=True)

    def _relation_paths(
        self, resource: ObjectReference, relation: str, user: UserId
    ) -> RelationPaths:
        """Yield each path by which a user has a relation: directly, or through a team."""
        if (direct := self.fact(resource, relation, user_object(user))) is not None:
            yield None, (direct,)
        for team_id in self._teams[user]:
            of_team = team(self._organization_id, team_id)
            team_holds = self.fact(resource, relation, of_team.subject("member"))
            place = self.fact(of_team, "member", user_object(user))
            if team_holds is not None and place is not None:
                yield team_id, (place, team_holds)

    def _custom_roles_with(self, action: str) -> list[str]:
        """Return the custom roles that contain an action, as objects."""
        relation = self._catalog.permissions[action].grant_relation
        subjects = self._subjects[f"{self._organization}#{relation}"]
        return [
            subject.removesuffix("#member")
            for subject in subjects
            if subject.startswith("role:") and subject.endswith("#member")
        ]

    def _all_users(self, key: str) -> set[UserId]:
        """Return the users who have a relation, directly or through a team."""
        teams = [subject for subject in self._subjects[key] if subject.startswith("team:")]
        return self._users(key).union(*(self._users(team_members) for team_members in teams))

    def _users(self, key: str) -> set[UserId]:
        return {
            UserId(subject.removeprefix("user:"))
            for subject in self._subjects[key]
            if subject.startswith("user:") and "#" not in subject
        }

    def _index(self, identity: str) -> None:
        """Index the relationship by its resource, its team or its object."""
        key, _, subject = identity.partition("@")
        resource, _, relation = key.partition("#")
        type, _, id = resource.partition(":")
        self._subjects[key].append(subject)
        if type == "team" and relation == "member":
            self._teams[subject.removeprefix("user:")].append(id.partition("/")[2])
        elif relation == "organization" and type in self._catalog.types:
            self._objects[type].append(resource)


def _position(fact: Fact) -> int:
    return fact.position
