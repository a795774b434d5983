"""The smallest changes that should allow a user an action, computed before any is rehearsed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from teamaccess.audit.questions.why import WhyQuestion
from teamaccess.audit.remedies.action_sets import (
    NO_ACTIONS,
    ActionSet,
    RoleAndTeamActions,
    action_set_of,
    new_actions,
    smallest_gains,
)
from teamaccess.audit.remedies.steps import RemedyTarget, Step
from teamaccess.audit.state.facts import Facts, with_updates
from teamaccess.audit.state.graph import Graph
from teamaccess.catalog import Catalog
from teamaccess.storage import Invitation, InvitationStatus, Membership


class Candidate(NamedTuple):
    """Steps that should allow the action."""

    steps: Sequence[Step]
    accepted: Sequence[str] = ()
    """The updates that the acceptance of an invitation would add."""


@dataclass(frozen=True)
class RemedyCase:
    """A user who lacks an action, and the state of their membership and invitation."""

    catalog: Catalog
    question: WhyQuestion
    target: RemedyTarget
    member: Membership | None
    invitation: Invitation | None
    """Their open invitation, if they have one."""
    invitee_key: bytes
    """The key with which invited addresses are hashed for SpiceDB."""

    @property
    def missing_action(self) -> str:
        """The action that they lack, as an `ActionSet` spells it."""
        action, on = self.question.action, self.question.on
        return action if on is None else f"{action} {on}"

    def graph(self, facts: Facts, now: datetime) -> Graph:
        """Return the graph of these facts."""
        return Graph(self.catalog, self.question.organization, facts, now)

    def has_path(self, graph: Graph) -> bool:
        """Return whether the graph has a path that gives them the action."""
        return bool(graph.paths(self.question.user, self.question.action, self.question.on))

    def actions(self, graph: Graph) -> ActionSet:
        """Return everything that the graph lets them do."""
        return action_set_of(self.catalog, graph, self.question.user)

    def candidates(self, facts: Facts, position: int, now: datetime) -> list[Candidate]:
        """Return the candidates, those that add the fewest other actions first.

        A role or a team is left out if another one adds only a part of what it adds.
        """
        if self.member is None:
            return self._by_invitation(self._role_and_team_actions(self.graph(facts, now)), now)
        activation = self._activate(self.member, now)
        if activation:
            updates = self.target.membership_updates(self.catalog, [])
            facts = with_updates(facts, updates, position, now)
        graph = self.graph(facts, now)
        if self.has_path(graph):
            return [Candidate(activation)]
        return [Candidate([*activation, step]) for step in self._single_steps(graph)]

    def last_resort(self, facts: Facts, now: datetime) -> Candidate | None:
        """Return the candidate in which an operator makes them an administrator.

        None if they have no address, or if members could give them another role that has the action.
        Such a role does not count if they hold the administrator role already.
        """
        graph = self.graph(facts, now)
        others = self._gains(self._givable(self._role_and_team_actions(graph)), NO_ACTIONS)
        role, email = self.catalog.administrator, self.target.email
        if email is None or (others and role not in graph.roles_of(self.question.user)):
            return None
        return Candidate([self.target.make_administrator(email, role)])

    def _activate(self, member: Membership, now: datetime) -> list[Step]:
        """Return the steps that make them an active member again."""
        expired = member.expires_at is not None and member.expires_at <= now
        suspended = member.suspended_at is not None
        return [self.target.remove_end()] * expired + [self.target.reactivate()] * suspended

    def _single_steps(self, graph: Graph) -> list[Step]:
        """Return the steps that each give an active member the action."""
        held, available = self.actions(graph), self._role_and_team_actions(graph)
        roles = self._gains(self._givable(available), held)
        teams = self._gains(available.teams, held)
        steps = [
            (len(roles[role]), self.target.give_role(role))
            for role in smallest_gains(self.catalog, roles)
        ]
        steps += [
            (len(teams[team]), self.target.join_team(team))
            for team in smallest_gains(self.catalog, teams)
        ]
        if self.question.on is not None:
            steps.append((0, self.target.grant(self.question.action, self.question.on)))
        return [step for _, step in sorted(steps, key=lambda added_and_step: added_and_step[0])]

    def _by_invitation(self, available: RoleAndTeamActions, now: datetime) -> list[Candidate]:
        email, invitation = self.target.email, self.invitation
        if email is None:
            return []
        candidates: list[Candidate] = []
        withdrawal: list[Step] = []
        if invitation is not None and invitation.status(now) is InvitationStatus.PENDING:
            accepted = self.target.membership_updates(self.catalog, invitation.roles)
            candidates.append(Candidate([self.target.accept_invitation(invitation)], accepted))
            withdrawal = [self.target.cancel_invitation(invitation)]
        for role in smallest_gains(self.catalog, self._gains(self._givable(available), NO_ACTIONS)):
            step = self.target.invite(email, role, self.invitee_key)
            accepted = self.target.membership_updates(self.catalog, [role])
            candidates.append(Candidate([*withdrawal, step], accepted))
        return candidates

    def _role_and_team_actions(self, graph: Graph) -> RoleAndTeamActions:
        return RoleAndTeamActions.of(self.catalog, self.question.organization, graph)

    def _givable(self, available: RoleAndTeamActions) -> Mapping[str, ActionSet]:
        """Return the actions of each role that members may give, and not only operators."""
        predefined = self.catalog.roles
        return {
            role: actions
            for role, actions in available.roles.items()
            if role not in predefined or predefined[role].granted_by != "operator"
        }

    def _gains(self, offers: Mapping[str, ActionSet], held: ActionSet) -> dict[str, ActionSet]:
        """Return the offers that include the action, each with the other actions that it would add."""
        sufficient = {self.missing_action, self.question.catalog_action(self.catalog)}
        return {
            key: new_actions(self.catalog, actions - {self.missing_action}, held)
            for key, actions in offers.items()
            if sufficient & actions
        }
