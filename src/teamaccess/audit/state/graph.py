"""Every way in which somebody has an action, found in what stands."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from teamaccess.audit.state.facts import Fact, Facts
from teamaccess.catalog import Catalog
from teamaccess.relationships import ObjectReference, SubjectReference, team, user
from teamaccess.relationships import organization as organization_object
from teamaccess.storage import OrganizationId, UserId

Held = Iterator[tuple[str | None, tuple[Fact, ...]]]
"""Through which team, and by which facts, somebody has a relation; None for no team."""


class Path(NamedTuple):
    """One way in which somebody has an action."""

    role: str | None
    """The role that holds the action; None for a grant on one object."""
    custom: bool
    """Whether the role is one of the organization's own."""
    team: str | None
    """The team that has it, where the user does through a team."""
    links: tuple[Fact, ...]
    """What it consists of, from the membership to the action: all of it has to stand."""

    @property
    def since(self) -> int:
        """The position since which all of it has stood."""
        return max(link.began for link in self.links)

    @property
    def until(self) -> datetime | None:
        """When the first part of it ends by itself; None where none does."""
        return min((end for link in self.links if (end := link.until) is not None), default=None)

    def over(self, now: datetime) -> bool:
        """Return whether a part of it has come to its end."""
        return self.until is not None and self.until <= now


def positions_on_paths(paths: Iterable[Sequence[Path]]) -> set[int]:
    """Return every position that the paths name."""
    return {
        position
        for each in paths
        for path in each
        for link in path.links
        for position in (link.began, link.position)
    }


class Graph:
    """What stands in one organization at a time."""

    def __init__(
        self, catalog: Catalog, organization: OrganizationId, facts: Facts, now: datetime
    ) -> None:
        self._catalog, self._organization = catalog, organization
        self._here = organization_object(organization)
        self._lost = dict(facts.lost)
        self._facts: dict[str, Fact] = {}
        self._holders: dict[str, list[str]] = defaultdict(list)
        """Subjects by resource and relation, as `team:acme/pay#member` has them."""
        self._teams: dict[str, list[str]] = defaultdict(list)
        """The teams that somebody is in."""
        self._objects: dict[str, list[str]] = defaultdict(list)
        """The registered objects of a type."""
        for identity, fact in facts.standing.items():
            if (end := fact.until) is None or end > now:
                self._facts[identity] = fact
                self._sort_in(identity)
            else:
                self._lost[identity] = fact

    @property
    def facts(self) -> Facts:
        """What it is made of; changing that changes nothing here."""
        return Facts(dict(self._facts), dict(self._lost))

    @property
    def members(self) -> set[UserId]:
        """Everybody for whom the gate is open."""
        return self._users(f"{self._here}#member")

    def who(self, action: str) -> set[UserId]:
        """Return everybody who has an action throughout the organization."""
        about = self._catalog.actions[action]
        held = [self._everybody(f"{self._here}#{predefined}") for predefined in about.roles]
        held += [self._everybody(f"{own}#member") for own in self._roles_with(action)]
        return set().union(*held) & self.members

    def membership_over(self, who: UserId, now: datetime) -> bool:
        """Return whether somebody's membership has come to its end by then."""
        gate = self.fact(self._here, "member", user(who))
        return gate is not None and gate.until is not None and gate.until <= now

    def objects(self, who: UserId) -> set[tuple[str, ObjectReference]]:
        """Return what somebody has on which of the registered objects."""
        return {
            (verb, on)
            for kind in self._catalog.types.values()
            for on in (ObjectReference.parse(each) for each in self._objects[kind.id])
            for verb in kind.actions
            if self.paths(who, verb, on)
        }

    def paths(self, who: UserId, action: str, on: ObjectReference | None = None) -> list[Path]:
        """Return every way in which a user has an action.

        Throughout the organization it is an action of the catalog's, `on` an object one of its type's.
        """
        if (gate := self.fact(self._here, "member", user(who))) is None:
            return []
        ways = self._everywhere(who, action) if on is None else self._on(who, action, on)
        return [way._replace(links=(gate, *way.links)) for way in ways]

    def fact(
        self,
        resource: ObjectReference,
        relation: str,
        subject: ObjectReference | SubjectReference,
    ) -> Fact | None:
        """Return the relationship, if it stands."""
        return self._facts.get(f"{resource}#{relation}@{subject}")

    def lost(
        self,
        resource: ObjectReference,
        relation: str,
        subject: ObjectReference | SubjectReference,
    ) -> Fact | None:
        """Return the relationship, if it stood once and does not any more."""
        return self._lost.get(f"{resource}#{relation}@{subject}")

    def role_set_of(self, who: UserId) -> list[str]:
        """Return the roles that somebody has, themselves or through a team."""
        found = [each for each in self._catalog.roles if any(self._held(self._here, each, who))]
        for key in self._holders:
            if key.startswith("role:") and key.endswith("#member"):
                mine = ObjectReference.parse(key.removesuffix("#member"))
                if any(self._held(mine, "member", who)):
                    found.append(mine.id.partition("/")[2])
        return found

    def lost_ways(self, who: UserId, action: str) -> list[Fact]:
        """Return what somebody lost that would have given them an action, the newest loss first.

        A role, a place in a team that has one, or a role of a team that they are in.
        """
        about = self._catalog.actions[action]
        places = [(self._here, predefined) for predefined in about.roles]
        places += [(ObjectReference.parse(own), "member") for own in self._roles_with(action)]
        mine = {*self._teams[who], *self._former_teams(who)}
        gone = []
        for resource, relation in places:
            gone.append(self.lost(resource, relation, user(who)))
            for id in mine:
                theirs = team(self._organization, id)
                holds = self.fact(resource, relation, theirs.subject("member"))
                gone.append(self.lost(resource, relation, theirs.subject("member")))
                gone.append(self.lost(theirs, "member", user(who)) if holds else None)
        return sorted((each for each in gone if each), key=_position, reverse=True)

    def _former_teams(self, who: UserId) -> list[str]:
        end = f"#member@{user(who)}"
        return [
            identity.removesuffix(end).partition("/")[2]
            for identity in self._lost
            if identity.startswith("team:") and identity.endswith(end)
        ]

    def _everywhere(self, who: UserId, action: str) -> Iterator[Path]:
        about = self._catalog.actions[action]
        for predefined in about.roles:
            for team_id, links in self._held(self._here, predefined, who):
                yield Path(predefined, False, team_id, links)
        for own in self._roles_with(action):
            mine = ObjectReference.parse(own)
            granted = self.fact(self._here, about.grant_relation, mine.subject("member"))
            for team_id, links in self._held(mine, "member", who):
                if granted is not None:
                    yield Path(mine.id.partition("/")[2], True, team_id, (*links, granted))

    def _on(self, who: UserId, verb: str, on: ObjectReference) -> Iterator[Path]:
        behind = self._catalog.types[on.type].actions[verb]
        if self._catalog.actions[behind].four_eyes and self.fact(on, "creator", user(who)):
            return
        belongs = self.fact(on, "organization", self._here)
        if belongs is None:
            return
        for way in self._everywhere(who, behind):
            yield way._replace(links=(*way.links, belongs))
        for team_id, links in self._held(on, f"granted_{verb}", who):
            yield Path(None, False, team_id, (*links, belongs))

    def _held(self, resource: ObjectReference, relation: str, who: UserId) -> Held:
        """Yield each way in which a user has a relation: themselves, or through a team."""
        if (direct := self.fact(resource, relation, user(who))) is not None:
            yield None, (direct,)
        for team_id in self._teams[who]:
            theirs = team(self._organization, team_id)
            held = self.fact(resource, relation, theirs.subject("member"))
            place = self.fact(theirs, "member", user(who))
            if held is not None and place is not None:
                yield team_id, (place, held)

    def _roles_with(self, action: str) -> list[str]:
        """Return the organization's own roles that have an action, as objects."""
        relation = self._catalog.actions[action].grant_relation
        return [each.removesuffix("#member") for each in self._holders[f"{self._here}#{relation}"]]

    def _everybody(self, place: str) -> set[UserId]:
        """Return the users who have a relation, themselves or through a team."""
        teams = [each for each in self._holders[place] if each.startswith("team:")]
        return self._users(place).union(*(self._users(each) for each in teams))

    def _users(self, place: str) -> set[UserId]:
        return {
            UserId(each.removeprefix("user:"))
            for each in self._holders[place]
            if each.startswith("user:")
        }

    def _sort_in(self, identity: str) -> None:
        """Keep it by its ends, for who knows only one of them."""
        place, _, subject = identity.partition("@")
        resource, _, relation = place.partition("#")
        kind, _, id = resource.partition(":")
        self._holders[place].append(subject)
        if kind == "team" and relation == "member":
            self._teams[subject.removeprefix("user:")].append(id.partition("/")[2])
        elif relation == "organization" and kind in self._catalog.types:
            self._objects[kind].append(resource)


def _position(fact: Fact) -> int:
    return fact.position
