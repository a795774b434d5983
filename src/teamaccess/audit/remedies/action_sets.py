"""The actions that a user has, or would gain by a role or a team, computed from the ledger's facts."""

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple, TypeVar

from teamaccess.audit.state.facts import Facts
from teamaccess.audit.state.graph import Graph
from teamaccess.catalog import Catalog
from teamaccess.relationships import ObjectReference
from teamaccess.relationships import organization as organization_object
from teamaccess.relationships import user as user_object
from teamaccess.storage import OrganizationId, UserId

ActionSet = frozenset[str]
"""Actions throughout the organization (`webhooks_edit`) and on objects (`edit webhook:acme/wh_1`)."""
Key = TypeVar("Key")
NO_ACTIONS: ActionSet = frozenset()


def facts_about(facts: Facts, user: UserId, on: ObjectReference | None) -> Facts:
    """Return the facts on which the user's actions depend.

    Facts about other users are left out. So are registrations of objects, except `on` and the objects
    with grants.
    """
    relevant = {
        identity: fact
        for identity, fact in facts.current.items()
        if "@user:" not in identity or identity.endswith(f"@{user_object(user)}")
    }
    with_grants = (text.partition("#")[0] for text in relevant if "#granted_" in text)
    objects = {str(on), *with_grants}
    kept = {
        identity: fact
        for identity, fact in relevant.items()
        if "#organization@" not in identity or identity.partition("#")[0] in objects
    }
    return Facts(kept, {})


def action_set_of(catalog: Catalog, graph: Graph, user: UserId) -> ActionSet:
    """Return the user's actions throughout the organization, and the object actions that grants add."""
    everywhere = frozenset(action for action in catalog.permissions if graph.paths(user, action))
    return everywhere | frozenset(
        f"{action} {on}"
        for action, on in graph.object_actions(user)
        if catalog.types[on.type].actions[action] not in everywhere
    )


class RoleAndTeamActions(NamedTuple):
    """The actions that the roles and the teams of an organization give."""

    roles: Mapping[str, frozenset[str]]
    """The actions of each predefined and each custom role."""
    teams: Mapping[str, ActionSet]
    """The actions that each member of a team has through the team."""

    @classmethod
    def of(
        cls, catalog: Catalog, organization: OrganizationId, graph: Graph
    ) -> "RoleAndTeamActions":
        """Compute the actions from the relationships of a graph."""
        custom_roles: defaultdict[str, set[str]] = defaultdict(set)
        team_roles: defaultdict[str, set[str]] = defaultdict(set)
        team_grants: defaultdict[str, set[str]] = defaultdict(set)
        organization_text = str(organization_object(organization))
        for identity in graph.facts.current:
            place, _, subject = identity.partition("@")
            resource, _, relation = place.partition("#")
            holder = subject.removesuffix("#member").partition("/")[2]
            if subject.startswith("role:"):
                custom_roles[holder].add(relation.removeprefix("granted_"))
            elif not subject.startswith("team:"):
                continue
            elif resource == organization_text:
                team_roles[holder].add(relation)
            elif resource.startswith("role:"):
                team_roles[holder].add(resource.partition("/")[2])
            else:
                granted = _actions_granted(catalog, resource, relation)
                team_grants[holder] |= {f"{action} {resource}" for action in granted}
        roles = {role: catalog.permissions_of(role) for role in catalog.roles}
        roles |= {
            role: frozenset(actions & catalog.actions.keys())
            for role, actions in custom_roles.items()
        }
        teams: dict[str, ActionSet] = {}
        for team in {*team_roles, *team_grants}:
            everywhere = NO_ACTIONS.union(
                *(roles.get(role, NO_ACTIONS) for role in team_roles[team])
            )
            on_objects = frozenset(team_grants[team])
            teams[team] = everywhere | new_actions(catalog, on_objects, everywhere)
        return cls(roles, teams)


def new_actions(catalog: Catalog, offered: ActionSet, held: ActionSet) -> ActionSet:
    """Return the offered actions that the user does not hold.

    An action held throughout the organization includes the same action on each object.
    """
    return frozenset(
        action for action in offered if not {action, _organization_action(catalog, action)} & held
    )


def smallest_gains(catalog: Catalog, gains: Mapping[Key, ActionSet]) -> list[Key]:
    """Return the keys of the smallest gains, in the order of their size.

    A gain is left out if another gain is a proper part of it.
    """

    def is_smaller(one: ActionSet, other: ActionSet) -> bool:
        return not new_actions(catalog, one, other) and bool(new_actions(catalog, other, one))

    distinct = set(gains.values())
    kept = {gain for gain in distinct if not any(is_smaller(other, gain) for other in distinct)}
    keys = [key for key, gain in gains.items() if gain in kept]
    return sorted(keys, key=lambda key: (len(gains[key]), str(key)))


def _actions_granted(catalog: Catalog, resource: str, relation: str) -> frozenset[str]:
    """Return the actions that a relation of an object grants; none if the catalog has no such type."""
    type = catalog.types.get(resource.partition(":")[0])
    return type.actions_granted(relation.removeprefix("granted_")) if type else NO_ACTIONS


def _organization_action(catalog: Catalog, action: str) -> str:
    """Return the action throughout the organization that includes this one."""
    name, _, on = action.partition(" ")
    return catalog.types[on.partition(":")[0]].actions[name] if on else name
