"""What a relationship would give or take, ignoring ends, suspensions and empty teams.

Permissions that SpiceDB reports say what somebody has now. A role of a team that is empty, a role of a
suspended member and a later end give nothing now, and still count as giving.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from teamaccess.catalog import Catalog, giving_permission
from tests.attacks.coalition.snapshots import Edge, Graph

WITHOUT_PERMISSIONS = {"organization", "creator", "invitee"}
"""Relations that give no permission."""


class RelationshipEffects:
    """Reads graphs with a catalog's names."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._granted = {
            action.grant_relation: action.permission for action in catalog.actions.values()
        }

    def of(self, edge: Edge, graph: Graph, free: frozenset[str] = frozenset()) -> frozenset[str]:
        """The permissions that the subject has or would have by this relationship.

        Those of the roles in `free` are left out.
        """
        kind, _, id = edge.resource.partition(":")
        here = f"organization:{id.partition('/')[0]}"
        if edge.relation in WITHOUT_PERMISSIONS:
            return frozenset()
        if kind == "organization" and edge.relation == "member":
            return self.everything(edge.subject, graph, free)
        if kind == "organization" and edge.relation in self._granted:
            return frozenset({f"{here}#{self._granted[edge.relation]}"})
        if kind == "organization":
            return frozenset() if edge.relation in free else self._predefined(here, edge.relation)
        if kind == "role":
            return self._custom(edge.resource, here, graph)
        if kind == "team":
            return self.everything(f"{edge.resource}#member", graph, free)
        granted = self._catalog.types[kind].actions_granted(edge.relation.removeprefix("granted_"))
        return frozenset(f"{edge.resource}#{verb}" for verb in granted)

    def everything(
        self, subject: str, graph: Graph, free: frozenset[str] = frozenset()
    ) -> frozenset[str]:
        """The permissions that a user or the members of a team would have by all relationships."""
        found: frozenset[str] = frozenset()
        for edge in graph:
            if edge.subject == subject and not is_membership(edge):
                found |= self.of(edge, graph, free)
        return found

    def of_roles(self, organization: str, roles: Iterable[str], graph: Graph) -> frozenset[str]:
        """The permissions of roles together: of the catalog, and custom ones."""
        here = f"organization:{organization}"
        return frozenset().union(
            *(
                self._predefined(here, role)
                if role in self._catalog.roles
                else self._custom(f"role:{organization}/{role}", here, graph)
                for role in roles
            )
        )

    def behind(self, power: str) -> str | None:
        """The organization-wide permission that gives one on a resource, or None."""
        on, _, verb = power.partition("#")
        kind, _, id = on.partition(":")
        if kind == "organization":
            return None
        action = self._catalog.actions[self._catalog.types[kind].actions[verb]]
        return f"organization:{id.partition('/')[0]}#{action.permission}"

    def covered(self, power: str, limit: frozenset[str]) -> bool:
        """Whether these permissions include that one, on the resource or organization-wide."""
        if power in limit or self.behind(power) in limit:
            return True
        here, _, permission = power.partition("#")
        if not permission.startswith("may_give_"):
            return False
        # the permission to give a role is worth no more than all that the role allows
        return self._predefined(here, permission.removeprefix("may_give_")) <= limit

    def roles_held(self, user: str, graph: Graph) -> set[str]:
        """The predefined roles that a user holds, directly or through a team."""
        subject = f"user:{user}"
        teams = {
            f"{edge.resource}#member"
            for edge in graph
            if edge.subject == subject and edge.resource.startswith("team:")
        }
        return {edge.relation for edge in graph if edge.subject in {subject, *teams}} & {
            *self._catalog.roles
        }

    def _predefined(self, here: str, role: str) -> frozenset[str]:
        actions = self._catalog.actions
        allowed = {
            f"{here}#{actions[each].permission}" for each in self._catalog.roles[role].actions
        }
        may_give = self._catalog.roles[role].may_give
        if role == self._catalog.administrator:
            allowed.add(f"{here}#administration")
            may_give = tuple(self._catalog.givers)
        allowed |= {f"{here}#{giving_permission(given)}" for given in may_give}
        return frozenset(allowed)

    def _custom(self, role: str, here: str, graph: Graph) -> frozenset[str]:
        return frozenset(
            f"{here}#{self._granted[edge.relation]}"
            for edge in graph
            if edge.subject == f"{role}#member" and edge.relation in self._granted
        )


def is_membership(edge: Edge) -> bool:
    """Whether it makes a user an active member of an organization."""
    return edge.relation == "member" and edge.resource.startswith("organization:")


def given(before: Graph, after: Graph) -> list[Edge]:
    """The relationships that are new or last longer."""
    return [edge for edge, end in after.items() if edge not in before or _later(end, before[edge])]


def taken(before: Graph, after: Graph) -> list[Edge]:
    """The relationships that are gone, except those that expired."""
    now = datetime.now(UTC)
    return [
        edge for edge, end in before.items() if edge not in after and (end is None or end > now)
    ]


def _later(end: datetime | None, before: datetime | None) -> bool:
    return before is not None and (end is None or end > before)
