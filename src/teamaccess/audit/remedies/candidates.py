"""The least changes that should allow somebody an action, by what stands: nobody was asked yet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from teamaccess.audit.questions.why import WhyQuestion
from teamaccess.audit.remedies.reach import NOTHING, Bundles, Gain, least, newly_gained, reach
from teamaccess.audit.remedies.steps import RemedyTarget, Step
from teamaccess.audit.state.facts import Facts, changed
from teamaccess.audit.state.graph import Graph
from teamaccess.catalog import Catalog
from teamaccess.storage import Invitation, InvitationStatus, Membership


class Candidate(NamedTuple):
    """Steps that should do."""

    steps: Sequence[Step]
    accepted: Sequence[str] = ()
    """The updates that come with the acceptance of an invitation."""


@dataclass(frozen=True)
class Case:
    """Somebody who lacks an action, as they stand."""

    catalog: Catalog
    asked: WhyQuestion
    whom: RemedyTarget
    member: Membership | None
    invitation: Invitation | None
    """What they are offered already."""
    invitees: bytes
    """The key by which SpiceDB knows addresses."""

    @property
    def wanted(self) -> str:
        """What they lack, as `reach` spells it."""
        on = self.asked.on
        return self.asked.action if on is None else f"{self.asked.action} {on}"

    def graph(self, facts: Facts, now: datetime) -> Graph:
        """Return what stands then."""
        return Graph(self.catalog, self.asked.organization, facts, now)

    def has_way(self, graph: Graph) -> bool:
        """Return whether they have the action there."""
        return bool(graph.paths(self.asked.who, self.asked.action, self.asked.on))

    def reach(self, graph: Graph) -> Gain:
        """Return everything that they can do there."""
        return reach(self.catalog, graph, self.asked.who)

    def candidates(self, facts: Facts, position: int, now: datetime) -> list[Candidate]:
        """Return what should do, what adds least first.

        Of roles, and of teams, those are left out that give more than another one does.
        """
        if self.member is None:
            return self._by_invitation(self._bundles(self.graph(facts, now)), now)
        gate = self._gate(self.member, now)
        if gate:
            facts = changed(facts, self.whom.joined(self.catalog, []), position, now)
        graph = self.graph(facts, now)
        if self.has_way(graph):
            return [Candidate(gate)]
        return [Candidate([*gate, way]) for way in self._ways(graph)]

    def last_resort(self, facts: Facts, now: datetime) -> Candidate | None:
        """Return that they become administrator, which whoever runs the service makes anybody.

        None where another role has the action, unless they have this one already.
        """
        graph = self.graph(facts, now)
        others = self._gains(self._givable(self._bundles(graph)), NOTHING)
        role, email = self.catalog.administrator, self.whom.email
        if email is None or (others and role not in graph.role_set_of(self.asked.who)):
            return None
        return Candidate([self.whom.made_administrator(email, role)])

    def _gate(self, member: Membership, now: datetime) -> list[Step]:
        """Return what makes them an active member again."""
        ended = member.expires_at is not None and member.expires_at <= now
        suspended = member.suspended_at is not None
        return [self.whom.kept()] * ended + [self.whom.reactivated()] * suspended

    def _ways(self, graph: Graph) -> list[Step]:
        """Return what gives an active member the action, what adds least first."""
        held, bundles = self.reach(graph), self._bundles(graph)
        roles = self._gains(self._givable(bundles), held)
        teams = self._gains(bundles.teams, held)
        ways = [(len(roles[each]), self.whom.given(each)) for each in least(self.catalog, roles)]
        ways += [
            (len(teams[each]), self.whom.put_into(each)) for each in least(self.catalog, teams)
        ]
        if self.asked.on is not None:
            ways.append((0, self.whom.granted(self.asked.action, self.asked.on)))
        return [step for _, step in sorted(ways, key=lambda way: way[0])]

    def _by_invitation(self, bundles: Bundles, now: datetime) -> list[Candidate]:
        email, offered = self.whom.email, self.invitation
        if email is None:
            return []
        found: list[Candidate] = []
        before: list[Step] = []
        if offered is not None and offered.status(now) is InvitationStatus.PENDING:
            accepted = self.whom.joined(self.catalog, offered.roles)
            found.append(Candidate([self.whom.accepting(offered)], accepted))
            before = [self.whom.uninvited(offered)]
        for role in least(self.catalog, self._gains(self._givable(bundles), NOTHING)):
            invited = self.whom.invited(email, role, self.invitees)
            accepted = self.whom.joined(self.catalog, [role])
            found.append(Candidate([*before, invited], accepted))
        return found

    def _bundles(self, graph: Graph) -> Bundles:
        return Bundles.of(self.catalog, self.asked.organization, graph)

    def _givable(self, bundles: Bundles) -> Mapping[str, Gain]:
        """Return the roles that not only operators give."""
        known = self.catalog.roles
        return {
            role: actions
            for role, actions in bundles.roles.items()
            if role not in known or known[role].granted_by != "operator"
        }

    def _gains(self, given: Mapping[str, Gain], held: Gain) -> dict[str, Gain]:
        """Return what else each would add, of those that have the action."""
        having = {self.wanted, self.asked.behind(self.catalog)}
        return {
            each: newly_gained(self.catalog, gain - {self.wanted}, held)
            for each, gain in given.items()
            if having & gain
        }
