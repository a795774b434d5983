"""Why a user can do an action, or why not."""

from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.audit.questions.decisions import Decision, find_decisions
from teamaccess.audit.questions.evidence import Evidence, query
from teamaccess.audit.questions.people import Person, find_people, users_in_actors
from teamaccess.audit.state.facts import Fact
from teamaccess.audit.state.graph import Graph, Path, positions_in
from teamaccess.audit.state.snapshot import AuditSource, Snapshot
from teamaccess.catalog import Catalog
from teamaccess.directory.resources.questions import question_about
from teamaccess.engine import Consistency, Engine
from teamaccess.relationships import ObjectReference
from teamaccess.relationships import organization as organization_object
from teamaccess.relationships import user as user_object
from teamaccess.storage import OrganizationId, UserId


class Obstacle(NamedTuple):
    """The first condition that is not met."""

    code: str
    sentence: str
    fact: Fact | None
    """The relationship that ended or that stands in the way, if there is one."""


@dataclass(frozen=True)
class WhyQuestion:
    """The question about one user and one action."""

    organization: OrganizationId
    user: UserId
    display_name: str
    """The user's name in sentences; their id if they have never been a member here."""
    action: str
    on: ObjectReference | None
    """The object; None for an action throughout the organization."""

    def catalog_action(self, catalog: Catalog) -> str:
        """Return the catalog's action that allows it throughout the organization."""
        return catalog.types[self.on.type].actions[self.action] if self.on else self.action


@dataclass(frozen=True)
class Why:
    """The engine's answer about one user and one action, explained."""

    evidence: Evidence
    allowed: bool
    paths: list[Path]
    """Every path that gives the user the action; empty if they cannot do it."""
    obstacle: Obstacle | None
    """Why the user cannot."""
    decisions: dict[int, Decision]
    """The decisions behind the paths and the obstacle, by position."""
    people: list[Person]
    """The people in the decisions' actors."""
    question: WhyQuestion
    snapshot: Snapshot[bool]


async def why(source: AuditSource, user: UserId, action: str, resource: str | None = None) -> Why:
    """Return whether a user can do an action, and why.

    Raises what `resources.questions.question_about` and the source's `snapshot` do.
    """
    target, permission = question_about(source.catalog, source.organization, action, resource)

    async def ask(engine: Engine, at: Consistency) -> bool:
        return await engine.check(target, permission, user_object(user), at)

    snapshot = await source.snapshot(ask, about=user)
    on = target if resource is not None else None
    paths = snapshot.graph.paths(user, action, on)
    async with source.reads() as session:
        display_name = await _display_name(session, snapshot, user)
        question = WhyQuestion(source.organization, user, display_name, action, on)
        obstacle = None
        positions = positions_in([paths])
        if not snapshot.answer:
            obstacle = _obstacle(source.catalog, snapshot, question, paths)
            if obstacle.fact is not None:
                positions |= {obstacle.fact.began, obstacle.fact.position}
        decisions = await find_decisions(session, source.organization, positions)
        deciders = users_in_actors(decision.actor for decision in decisions.values())
        people = await find_people(session, source.organization, deciders)
    evidence = Evidence.of(
        snapshot,
        source.catalog,
        query("why", user=user, action=action, resource=on),
        rows=1,
        unexplained=int(snapshot.answer and not paths),
        missing=int(not snapshot.answer and snapshot.has_unexpired(paths)),
    )
    return Why(
        evidence,
        snapshot.answer,
        paths if snapshot.answer else [],
        obstacle,
        decisions,
        list(people.values()),
        question,
        snapshot,
    )


async def _display_name(session: AsyncSession, snapshot: Snapshot[bool], user: UserId) -> str:
    """Return the user's display name, or the id of a user who was never a member here.

    SECURITY: an organization must not learn the address of a user who was never its member.
    """
    graph = snapshot.graph
    organization = snapshot.ledger_position.organization
    membership = organization_object(organization), "member", user_object(user)
    if graph.fact(*membership) is None and graph.ended(*membership) is None:
        return user
    return (await find_people(session, organization, [user]))[user].display_name


def _obstacle(
    catalog: Catalog, snapshot: Snapshot[bool], question: WhyQuestion, paths: list[Path]
) -> Obstacle:
    """Return the first condition that is not met: membership, then the object, then the role."""
    if snapshot.has_unexpired(paths):
        return Obstacle(
            "not_enforced", "The ledger allows it, but SpiceDB has lost a relationship.", None
        )
    return (
        _membership_obstacle(snapshot, question)
        or _object_obstacle(catalog, snapshot.graph, question)
        or _role_obstacle(snapshot.graph, question, question.catalog_action(catalog))
    )


def _membership_obstacle(snapshot: Snapshot[bool], question: WhyQuestion) -> Obstacle | None:
    graph, name = snapshot.graph, question.display_name
    organization, subject = organization_object(question.organization), user_object(question.user)
    membership = graph.fact(organization, "member", subject)
    if membership is not None and not graph.membership_expired(question.user, snapshot.now):
        return None
    former = membership or graph.ended(organization, "member", subject)
    if former is None:
        return Obstacle("not_a_member", f"{name} has never been a member.", None)
    return Obstacle("no_active_member", f"{name} is no longer an active member.", former)


def _object_obstacle(catalog: Catalog, graph: Graph, question: WhyQuestion) -> Obstacle | None:
    if question.on is None:
        return None
    organization = organization_object(question.organization)
    if graph.fact(question.on, "organization", organization) is None:
        former = graph.ended(question.on, "organization", organization)
        return Obstacle("no_such_object", f"{question.on} is not registered.", former)
    creator = graph.fact(question.on, "creator", user_object(question.user))
    if creator is None or not catalog.actions[question.catalog_action(catalog)].four_eyes:
        return None
    name = question.display_name
    sentence = f"{name} created {question.on}, so somebody else must do {question.action}."
    return Obstacle("four_eyes", sentence, creator)


def _role_obstacle(graph: Graph, question: WhyQuestion, catalog_action: str) -> Obstacle:
    user = question.user
    roles = ", ".join(graph.roles_of(user)) or "none"
    sentence = f"No role of {question.display_name} has {catalog_action}. Their roles: {roles}."
    ended = graph.ended_paths(user, catalog_action)
    if question.on is not None:
        ended = [*ended, *graph.ended_grants(question.on, user, question.action)]
    if ended:
        newest = max(ended, key=lambda fact: fact.position)
        return Obstacle("ended", f"{sentence} They had it through {newest.text}.", newest)
    return Obstacle("role_lacks_action", sentence, None)
