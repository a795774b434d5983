"""Who can do an action, and why each of them can."""

import asyncio
from dataclasses import dataclass

from teamaccess.audit.questions.decisions import Decision, find_decisions
from teamaccess.audit.questions.evidence import Evidence, query
from teamaccess.audit.questions.holders import users_with
from teamaccess.audit.questions.people import Person, find_people, users_in_actors
from teamaccess.audit.state.graph import Path, positions_in
from teamaccess.audit.state.snapshot import AuditSource, Snapshot
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
    """A user who can do the action."""

    person: Person
    paths: list[Path]
    """Every path by which they can; empty if the ledger explains none."""


@dataclass(frozen=True)
class WhoCan:
    """Everybody who can do an action."""

    evidence: Evidence
    holders: list[Holder]
    """In the order of their ids."""
    decisions: dict[int, Decision]
    """The decisions behind the paths, by position."""
    people: list[Person]
    """The people in the decisions' actors."""


async def who_can(source: AuditSource, action: str, resource: str | None = None) -> WhoCan:
    """Return everybody who can do an action, in the organization or on one of its objects.

    Raises NotRegistered, and what `resources.questions.question_about` and the source's `snapshot` do.
    """
    on, permission = question_about(source.catalog, source.organization, action, resource)

    async def ask(engine: Engine, at: Consistency) -> set[UserId]:
        return await users_with(engine, on, permission, at)

    snapshot = await source.snapshot(ask)
    resource_object = None if resource is None else on
    if resource_object is not None and not snapshot.answer:
        organization = organization_object(source.organization)
        if not snapshot.graph.fact(resource_object, "organization", organization):
            raise NotRegistered(
                resource=resource_object
            )  # a mistyped id must not be answered with "nobody"
    paths, missing = await asyncio.to_thread(_explain, snapshot, action, resource_object)
    async with source.reads() as session:
        decisions = await find_decisions(session, source.organization, positions_in(paths.values()))
        deciders = users_in_actors(decision.actor for decision in decisions.values())
        names = await find_people(session, source.organization, {*paths, *deciders})
    evidence = Evidence.of(
        snapshot,
        source.catalog,
        query("who_can", action=action, resource=resource_object),
        rows=len(paths),
        unexplained=sum(not paths_of_user for paths_of_user in paths.values()),
        missing=missing,
    )
    holders = [Holder(names[user], paths_of_user) for user, paths_of_user in paths.items()]
    return WhoCan(evidence, holders, decisions, [names[user] for user in sorted(deciders)])


def _explain(
    snapshot: Snapshot[set[UserId]], action: str, on: ObjectReference | None
) -> tuple[dict[UserId, list[Path]], int]:
    """Return the paths of all users that the engine named, and how many users it should also name."""
    graph = snapshot.graph
    candidates = graph.members if on is not None else graph.users_with(action)
    missing = sum(
        snapshot.has_unexpired(graph.paths(user, action, on))
        for user in candidates - snapshot.answer
    )
    return {user: graph.paths(user, action, on) for user in sorted(snapshot.answer)}, missing
