"""Who can do something, and why each of them."""

import asyncio
from dataclasses import dataclass

from teamaccess.audit.questions.evidence import Evidence, query
from teamaccess.audit.questions.origins import Origin, origins
from teamaccess.audit.questions.people import Person, people, users_in
from teamaccess.audit.state.graph import Path, positions
from teamaccess.audit.state.view import AuditSource, View
from teamaccess.common.errors import NotFound
from teamaccess.directory.resources.questions import question_about
from teamaccess.engine import Consistency, Engine
from teamaccess.relationships import ObjectReference
from teamaccess.relationships import organization as organization_object
from teamaccess.storage import UserId


class NotRegistered(NotFound):
    """The question is about a resource that is not registered, so nobody has access to it."""

    message = "{resource} is not registered, so nobody has access to it. Register it first."


@dataclass(frozen=True)
class Holder:
    """Somebody who can."""

    person: Person
    paths: list[Path]
    """Every way in which they can; empty where the ledger knows of none."""


@dataclass(frozen=True)
class WhoCan:
    """Everybody who can do something."""

    evidence: Evidence
    holders: list[Holder]
    """In the order of their ids."""
    origins: dict[int, Origin]
    """Of every position that the paths name."""
    people: list[Person]
    """Whom the origins name."""


async def who_can(source: AuditSource, action: str, resource: str | None = None) -> WhoCan:
    """Return everybody who can do an action, in the organization or on one of its objects.

    Raises what `resources.questions.asked` and the source's `view` do, and NotRegistered.
    """
    on, permission = question_about(source.catalog, source.organization, action, resource)

    async def ask(engine: Engine, at: Consistency) -> set[UserId]:
        return {UserId(id) async for id in engine.lookup_subjects(on, permission, "user", at)}

    view = await source.view(ask)
    place = None if resource is None else on
    here = organization_object(source.organization)
    if place is not None and not view.answer and not view.graph.fact(place, "organization", here):
        raise NotRegistered(resource=place)  # a slip is no "nobody"
    allowed, missing = await asyncio.to_thread(_explained, view, action, place)
    async with source.reads() as session:
        told = await origins(session, source.organization, positions(allowed.values()))
        deciding = users_in(origin.actor for origin in told.values())
        names = await people(session, {*allowed, *deciding})
    evidence = Evidence.of(
        view,
        source.catalog,
        query("who_can", action=action, resource=place),
        rows=len(allowed),
        unexplained=sum(1 for paths in allowed.values() if not paths),
        missing=missing,
    )
    holders = [Holder(names[user], paths) for user, paths in allowed.items()]
    return WhoCan(evidence, holders, told, [names[user] for user in sorted(deciding)])


def _explained(
    view: View[set[UserId]], action: str, on: ObjectReference | None
) -> tuple[dict[UserId, list[Path]], int]:
    """Return the ways of everybody whom the engine named, and how many it should have named, too."""
    graph = view.graph
    others = (graph.members if on is not None else graph.who(action)) - view.answer
    missing = sum(1 for user in others if view.lasting(graph.paths(user, action, on)))
    return {user: graph.paths(user, action, on) for user in sorted(view.answer)}, missing
