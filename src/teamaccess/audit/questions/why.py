"""Why somebody can do something, or why not."""

from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.audit.questions.evidence import Evidence, query
from teamaccess.audit.questions.origins import Origin, origins
from teamaccess.audit.questions.people import Person, people, users_in
from teamaccess.audit.state.facts import Fact
from teamaccess.audit.state.graph import Graph, Path, positions
from teamaccess.audit.state.view import AuditSource, View
from teamaccess.catalog import Catalog
from teamaccess.directory.resources.questions import question_about
from teamaccess.engine import Consistency, Engine
from teamaccess.relationships import ObjectReference, user
from teamaccess.relationships import organization as organization_object
from teamaccess.storage import OrganizationId, UserId


class Obstacle(NamedTuple):
    """The first link that is broken."""

    code: str
    sentence: str
    fact: Fact | None
    """What stood once, or what stands in the way; None where there is no such thing."""


@dataclass(frozen=True)
class Why:
    """The engine's answer about one user and one action, explained."""

    evidence: Evidence
    allowed: bool
    paths: list[Path]
    """Every way in which they can; empty where they cannot."""
    obstacle: Obstacle | None
    """Why they cannot."""
    origins: dict[int, Origin]
    """Of every position that the rest names."""
    people: list[Person]
    """Whom the origins name."""
    asked: "WhyQuestion"
    view: View[bool]


@dataclass(frozen=True)
class WhyQuestion:
    """The question."""

    organization: OrganizationId
    who: UserId
    called: str
    """What they are called; their id, where they have never been here."""
    action: str
    on: ObjectReference | None
    """The object; None for an action throughout the organization."""

    def behind(self, catalog: Catalog) -> str:
        """Return the catalog's action that it takes throughout the organization."""
        return catalog.types[self.on.type].actions[self.action] if self.on else self.action


async def why(source: AuditSource, who: UserId, action: str, resource: str | None = None) -> Why:
    """Return whether a user can do an action, and why. Raises what `who_can` does."""
    place, permission = question_about(source.catalog, source.organization, action, resource)

    async def ask(engine: Engine, at: Consistency) -> bool:
        return await engine.check(place, permission, user(who), at)

    view = await source.view(ask, about=who)
    on = place if resource is not None else None
    found = view.graph.paths(who, action, on)
    async with source.reads() as session:
        called = await _called(session, view, who)
        question = WhyQuestion(source.organization, who, called, action, on)
        obstacle = None if view.answer else _obstacle(source.catalog, view, question, found)
        named = positions([found])
        if obstacle is not None and obstacle.fact is not None:
            named |= {obstacle.fact.began, obstacle.fact.position}
        told = await origins(session, source.organization, named)
        deciding = await people(session, users_in(origin.actor for origin in told.values()))
    evidence = Evidence.of(
        view,
        source.catalog,
        query("why", user=who, action=action, resource=on),
        rows=1,
        unexplained=int(view.answer and not found),
        missing=int(not view.answer and view.lasting(found)),
    )
    paths = found if view.answer else []
    whom = list(deciding.values())
    return Why(evidence, view.answer, paths, obstacle, told, whom, question, view)


async def _called(session: AsyncSession, view: View[bool], who: UserId) -> str:
    graph, here = view.graph, organization_object(view.standing.organization)
    place = here, "member", user(who)
    if graph.fact(*place) is None and graph.lost(*place) is None:
        return who
    return (await people(session, [who]))[who].called


def _obstacle(
    catalog: Catalog, view: View[bool], question: WhyQuestion, found: list[Path]
) -> Obstacle:
    """Return what keeps them from it, looked for from the membership on."""
    graph, who, called = view.graph, question.who, question.called
    if view.lasting(found):
        return Obstacle("not_enforced", "The ledger has a way, and SpiceDB has lost it.", None)
    here, behind = organization_object(question.organization), question.behind(catalog)
    gate = graph.fact(here, "member", user(who))
    if gate is None or graph.membership_over(who, view.now):
        was = gate or graph.lost(here, "member", user(who))
        if was is None:
            return Obstacle("not_a_member", f"{called} has never been a member.", None)
        return Obstacle("no_active_member", f"{called} is no active member any more.", was)
    if question.on is not None:
        if graph.fact(question.on, "organization", here) is None:
            was = graph.lost(question.on, "organization", here)
            return Obstacle("no_such_object", f"{question.on} is not registered.", was)
        creator = graph.fact(question.on, "creator", user(who))
        if catalog.actions[behind].four_eyes and creator is not None:
            sentence = f"{called} created {question.on}, and {question.action} takes somebody else."
            return Obstacle("four_eyes", sentence, creator)
    return _no_role(graph, question, behind)


def _no_role(graph: Graph, question: WhyQuestion, behind: str) -> Obstacle:
    who = question.who
    roles = ", ".join(graph.role_set_of(who)) or "none"
    theirs = f"No role of {question.called}'s has {behind}; theirs are: {roles}."
    lost = graph.lost_ways(who, behind)
    if question.on is not None:
        granted = graph.lost(question.on, f"granted_{question.action}", user(who))
        lost = [*lost, *([granted] if granted else [])]
    if lost:
        newest = max(lost, key=lambda fact: fact.position)
        return Obstacle("ended", f"{theirs} They had it by {newest.text}.", newest)
    return Obstacle("role_lacks_action", theirs, None)
