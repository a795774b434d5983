"""What somebody would gain by a role or by a team, before anybody is asked to give it."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import NamedTuple, TypeVar

from teamaccess.audit.state.facts import Facts
from teamaccess.audit.state.graph import Graph
from teamaccess.catalog import Catalog
from teamaccess.relationships import ObjectReference, user
from teamaccess.relationships import organization as organization_object
from teamaccess.storage import OrganizationId, UserId

Gain = frozenset[str]
"""Actions throughout the organization, `webhooks_edit`; on single objects `edit webhook:acme/wh_1`."""
Key = TypeVar("Key")
NOTHING: Gain = frozenset()


def concerning(facts: Facts, who: UserId, on: ObjectReference | None) -> Facts:
    """Return the facts that what somebody can do depends on: nobody else's, and few of the objects."""
    theirs = {
        identity: fact
        for identity, fact in facts.standing.items()
        if "@user:" not in identity or identity.endswith(f"@{user(who)}")
    }
    named = {str(on), *(each.partition("#")[0] for each in theirs if "#granted_" in each)}
    kept = {
        identity: fact
        for identity, fact in theirs.items()
        if "#organization@" not in identity or identity.partition("#")[0] in named
    }
    return Facts(kept, {})


def reach(catalog: Catalog, graph: Graph, who: UserId) -> Gain:
    """Return what somebody can do: throughout the organization, and what is granted beyond that."""
    everywhere = frozenset(action for action in catalog.actions if graph.paths(who, action))
    return everywhere | frozenset(
        f"{verb} {on}"
        for verb, on in graph.objects(who)
        if catalog.types[on.type].actions[verb] not in everywhere
    )


class Bundles(NamedTuple):
    """What the roles and the teams of an organization give to whoever has them."""

    roles: Mapping[str, frozenset[str]]
    """The actions of each role: the catalog's, and the organization's own."""
    teams: Mapping[str, Gain]
    """What everybody in a team has through it."""

    @classmethod
    def of(cls, catalog: Catalog, organization: OrganizationId, graph: Graph) -> "Bundles":
        """Return what the graph says."""
        own: defaultdict[str, set[str]] = defaultdict(set)
        held: defaultdict[str, set[str]] = defaultdict(set)
        granted: defaultdict[str, set[str]] = defaultdict(set)
        here = str(organization_object(organization))
        for identity in graph.facts.standing:
            place, _, subject = identity.partition("@")
            resource, _, relation = place.partition("#")
            holder = subject.removesuffix("#member").partition("/")[2]
            if subject.startswith("role:"):
                own[holder].add(relation.removeprefix("granted_"))
            elif not subject.startswith("team:"):
                continue
            elif resource == here:
                held[holder].add(relation)
            elif resource.startswith("role:"):
                held[holder].add(resource.partition("/")[2])
            elif (verb := relation.removeprefix("granted_")) in _verbs(catalog, resource):
                granted[holder].add(f"{verb} {resource}")
        roles = {role.id: role.actions for role in catalog.roles.values()}
        roles |= {
            role: frozenset(actions & catalog.actions.keys()) for role, actions in own.items()
        }
        teams: dict[str, Gain] = {}
        for team in {*held, *granted}:
            everywhere = NOTHING.union(*(roles.get(each, NOTHING) for each in held[team]))
            teams[team] = everywhere | newly_gained(catalog, frozenset(granted[team]), everywhere)
        return cls(roles, teams)


def newly_gained(catalog: Catalog, gain: Gain, held: Gain) -> Gain:
    """Return what of a gain is new to who holds that; an action everywhere is one on each object."""
    return frozenset(each for each in gain if not {each, _everywhere(catalog, each)} & held)


def least(catalog: Catalog, gains: Mapping[Key, Gain]) -> list[Key]:
    """Return those that no other gives less than, the smallest first."""

    def less(one: Gain, other: Gain) -> bool:
        return not newly_gained(catalog, one, other) and bool(newly_gained(catalog, other, one))

    different = set(gains.values())
    kept = {gain for gain in different if not any(less(one, gain) for one in different)}
    found = [key for key, gain in gains.items() if gain in kept]
    return sorted(found, key=lambda key: (len(gains[key]), str(key)))


def _verbs(catalog: Catalog, resource: str) -> Collection[str]:
    """Return what can be granted on an object; nothing of a type that the catalog has no more."""
    kind = catalog.types.get(resource.partition(":")[0])
    return kind.actions if kind is not None else ()


def _everywhere(catalog: Catalog, what: str) -> str:
    """Return the action that is the same throughout the organization."""
    verb, _, on = what.partition(" ")
    return catalog.types[on.partition(":")[0]].actions[verb] if on else verb
