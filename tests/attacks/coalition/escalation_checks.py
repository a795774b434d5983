"""What must hold after each step by any caller: the theorem, and what it takes to find a breach.

`before` and `after` come from SpiceDB alone. The answers count only by their statuses and bodies.
"""

from collections.abc import Mapping, Sequence

from tests.attacks.coalition.relationship_effects import (
    RelationshipEffects,
    given,
    is_membership,
    taken,
)
from tests.attacks.coalition.scenario import Attempt, Scenario
from tests.attacks.coalition.snapshots import Edge, OrganizationSnapshot

State = Mapping[str, OrganizationSnapshot]
NOBODY: frozenset[str] = frozenset()


class Violation(AssertionError):
    """A principal gained a permission that no giver held, or another promise was broken."""


class EscalationChecks:
    """Compares two states, and finds the attempts that may have caused the difference."""

    def __init__(self, scenario: Scenario, effects: RelationshipEffects) -> None:
        self._scenario = scenario
        self._effects = effects

    def check(self, before: State, after: State, attempts: Sequence[Attempt]) -> None:
        """Raise Violation for the first promise that the attempts have broken."""
        for organization, now in after.items():
            then = before.get(organization, OrganizationSnapshot())
            acted = [
                each for each in attempts if each.done and self._reaches(each, organization, then)
            ]
            if not acted:
                _unchanged(organization, then, now)
                continue
            if organization not in before:
                continue  # the new organization of its creator: other tenants are untouched
            self._gains(organization, then, now, acted)
            self._relationships_given(then, now, acted)
            self._relationships_taken(then, now, acted)
            self._somebody_administers(organization, then, now)
        self._four_eyes(after)
        self._handed_out(before, attempts)

    def _reaches(self, attempt: Attempt, organization: str, then: OrganizationSnapshot) -> bool:
        """Whether the attempt may change the organization: it is about it, and the actor is a
        member.
        """
        if "replayed" in attempt.about:
            return False
        if attempt.route == "POST /v1/organizations":
            return attempt.about.get("founded") == organization
        if attempt.organization != organization:
            return False
        if attempt.route == "POST /v1/invitations/accept":
            return True
        return attempt.by is not None and _is_member(attempt.by.id, then)

    def _limit(self, attempt: Attempt, then: OrganizationSnapshot) -> frozenset[str]:
        """What the giver of an attempt held: the caller, within what the member they act for
        holds.
        """
        if attempt.route == "POST /v1/invitations/accept":
            return then.of(attempt.about["inviter"])
        assert attempt.by is not None
        held = then.of(attempt.by.id)
        return held & then.of(attempt.on_behalf.id) if attempt.on_behalf is not None else held

    def _may_give(self, attempt: Attempt, then: OrganizationSnapshot) -> tuple[str, frozenset[str]]:
        """The giver of an attempt, and the roles that they may give to others without holding them.

        That takes a person who acts in person.
        """
        id = attempt.by.id if attempt.by is not None else ""
        if attempt.route == "POST /v1/invitations/accept":
            id = attempt.about["inviter"]
        giver, givers = self._scenario.with_id(id), self._scenario.deployment.service.catalog.givers
        if giver is None or giver.account_of or attempt.on_behalf is not None:
            return id, NOBODY
        held = {power.partition("#")[2] for power in then.of(id)}
        return id, frozenset(role for role in givers if f"may_give_{role}" in held)

    def _free(
        self,
        subject: str,
        then: OrganizationSnapshot,
        now: OrganizationSnapshot,
        acted: Sequence[Attempt],
    ) -> frozenset[str]:
        """The roles that an attempt may give to this user or team: to other people only."""
        users = {subject.removeprefix("user:")}
        if subject.startswith("team:"):
            place = subject.removesuffix("#member")
            edges = [*then.graph, *now.graph]
            users = {edge.user or "" for edge in edges if edge.resource == place}
        accounts = {each.id for each in self._scenario.principals if each.account_of}
        free: frozenset[str] = NOBODY
        for attempt in acted:
            giver, roles = self._may_give(attempt, then)
            free |= NOBODY if users & {giver, *accounts} else roles
        return free

    def _gains(
        self,
        organization: str,
        then: OrganizationSnapshot,
        now: OrganizationSnapshot,
        acted: Sequence[Attempt],
    ) -> None:
        registered = _objects(now) - _objects(then)
        limits = [self._limit(each, then) for each in acted]
        for user, powers in now.powers.items():
            free = self._free(f"user:{user}", then, now, acted)
            given = free & self._effects.roles_held(user, now.graph)
            limits_here = [*limits, self._effects.of_roles(organization, given, now.graph)]
            for power in powers - then.of(user):
                everywhere = self._effects.behind(power)
                if power.partition("#")[0] in registered and everywhere in then.of(user):
                    continue  # a new resource, and they may do that to every resource
                if not self._covered(power, limits_here):
                    raise Violation(f"{user} gained {power}, which no giver held")

    def _relationships_given(
        self, then: OrganizationSnapshot, now: OrganizationSnapshot, acted: Sequence[Attempt]
    ) -> None:
        limits = [self._limit(each, then) for each in acted]
        for edge in given(then.graph, now.graph):
            if self._only_operators_give(edge):
                raise Violation(f"{edge} was given or extended, which only operators do")
            on_one_object = edge.relation.startswith("granted_") and not edge.resource.startswith(
                "organization:"
            )
            free = self._free(edge.subject, then, now, acted)
            for power in self._effects.of(edge, now.graph, free):
                strictly = on_one_object and any(power in limit for limit in limits)
                if not (strictly if on_one_object else self._covered(power, limits)):
                    raise Violation(f"{edge} was given or extended; no giver held {power}")

    def _only_operators_give(self, edge: Edge) -> bool:
        role = self._scenario.deployment.service.catalog.roles.get(edge.relation)
        on_organization = edge.resource.startswith("organization:")
        return on_organization and role is not None and role.granted_by == "operator"

    def _relationships_taken(
        self, then: OrganizationSnapshot, now: OrganizationSnapshot, acted: Sequence[Attempt]
    ) -> None:
        """Nobody removes from others what they do not hold."""
        if not now.graph:
            return  # the organization was deleted, which is a separate permission
        gone = _objects(then) - _objects(now)
        for edge in taken(then.graph, now.graph):
            if edge.resource in gone or any(self._of_oneself(edge, then, each) for each in acted):
                continue
            limits = [self._limit(each, then) for each in acted]
            free = self._free(edge.subject, then, now, acted)
            for power in self._effects.of(edge, then.graph, free):
                if not self._covered(power, limits):
                    raise Violation(f"{edge} was taken away by callers who lacked {power}")

    def _of_oneself(self, edge: Edge, then: OrganizationSnapshot, attempt: Attempt) -> bool:
        """Whether only the actor held it, in person. A team without members counts, too."""
        if edge.subject.startswith("team:"):
            place = edge.subject.removesuffix("#member")
            inside = {each.user for each in then.graph if each.resource == place}
            alone = (
                attempt.by is not None and attempt.on_behalf is None and inside <= {attempt.by.id}
            )
            return not inside or alone
        return attempt.by is not None and attempt.on_behalf is None and edge.user == attempt.by.id

    def _somebody_administers(
        self, organization: str, then: OrganizationSnapshot, now: OrganizationSnapshot
    ) -> None:
        if not now.graph:
            return
        if not (still := self._administrators(organization, now)):
            raise Violation(f"nobody administers {organization} without an expiry any more")
        coalition = {each.id for each in self._scenario.coalition}
        if any(
            f"organization:{organization}#administration" in then.of(each) for each in coalition
        ):
            return
        if lost := self._administrators(organization, then) - still:
            raise Violation(f"{lost} administered {organization}, and the coalition did not")

    def _administrators(self, organization: str, snapshot: OrganizationSnapshot) -> set[str]:
        role = self._scenario.deployment.service.catalog.administrator
        lasting = {user for user, end in snapshot.members().items() if end is None}
        accounts = {each.id for each in self._scenario.of("account", organization)}
        return {
            edge.user
            for edge, end in snapshot.graph.items()
            if end is None
            and edge.user in lasting - accounts
            and (edge.resource, edge.relation) == (f"organization:{organization}", role)
        }

    def _four_eyes(self, after: State) -> None:
        catalog = self._scenario.deployment.service.catalog
        for name, creator in self._scenario.creators.items():
            kind, _, id = name.partition(":")
            held = after.get(id.partition("/")[0], OrganizationSnapshot()).of(creator)
            for verb, action in catalog.types[kind].actions.items():
                if catalog.actions[action].four_eyes and f"{name}#{verb}" in held:
                    raise Violation(f"{creator} may {verb} {name}, which they created")

    def _handed_out(self, before: State, attempts: Sequence[Attempt]) -> None:
        """Offers and secrets give nothing in SpiceDB, but their recipient can use them."""
        for attempt in attempts:
            if not attempt.done or "handed" not in attempt.about or "replayed" in attempt.about:
                continue
            then = before[attempt.organization]
            limit, (_, free) = self._limit(attempt, then), self._may_give(attempt, then)
            for power in sorted(attempt.about["handed"](then, free)):
                if not self._effects.covered(power, limit):
                    raise Violation(f"{attempt.route} handed out {power}, which the giver lacked")

    def _covered(self, power: str, limits: list[frozenset[str]]) -> bool:
        return any(self._effects.covered(power, limit) for limit in limits)


def _unchanged(organization: str, then: OrganizationSnapshot, now: OrganizationSnapshot) -> None:
    changed = sorted(map(str, given(then.graph, now.graph) + taken(then.graph, now.graph)))
    if changed or then.head != now.head:
        raise Violation(f"{organization} was changed by callers who may not: {changed or now.head}")


def _is_member(user: str, snapshot: OrganizationSnapshot) -> bool:
    return any(is_membership(edge) and edge.user == user for edge in snapshot.graph)


def _objects(snapshot: OrganizationSnapshot) -> set[str]:
    return {edge.resource for edge in snapshot.graph if edge.relation == "organization"}
