"""What a user can do: actions throughout the organization, and actions on single objects."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import NamedTuple

from teamaccess.audit.questions.decisions import Decision, find_decisions
from teamaccess.audit.questions.evidence import Evidence, query
from teamaccess.audit.questions.people import Person, find_people, users_in_actors
from teamaccess.audit.state.graph import Path, positions_in
from teamaccess.audit.state.snapshot import AuditSource
from teamaccess.engine import Consistency, Engine
from teamaccess.relationships import ObjectReference
from teamaccess.relationships import organization as organization_object
from teamaccess.relationships import user as user_object
from teamaccess.storage import UserId

LOOKUP_SECONDS = 60.0
"""How long the engine may take to name the objects of one type."""

ActionOn = tuple[str, ObjectReference | None]
"""An action, and the object; None for an action throughout the organization."""


class PermittedAction(NamedTuple):
    """An action that the user can do."""

    action: str
    on: ObjectReference | None
    """The object; None for an action throughout the organization."""
    paths: list[Path]
    """Every path by which the user has it; empty if the ledger explains none."""


@dataclass(frozen=True)
class WhatCan:
    """Everything that a user can do."""

    evidence: Evidence
    permitted: list[PermittedAction]
    """Actions throughout the organization in the catalog's order, then actions on objects."""
    decisions: dict[int, Decision]
    """The decisions behind the paths, by position."""
    people: list[Person]
    """The people in the decisions' actors."""


async def what_can(source: AuditSource, user: UserId) -> WhatCan:
    """Return everything that a user can do: nothing for a user who is not a member.

    Raises what the source's `snapshot` does.
    """
    catalog, organization = source.catalog, organization_object(source.organization)
    actions = [action.id for action in catalog.permissions.values() if not action.four_eyes]

    async def ask(engine: Engine, at: Consistency) -> list[ActionOn]:
        held = await engine.permitted(organization, actions, user_object(user), at)
        everywhere: list[ActionOn] = [(action, None) for action in actions if action in held]
        return everywhere + [item async for item in _on_objects(source, engine, at, user)]

    snapshot = await source.snapshot(ask, about=user)
    graph = snapshot.graph
    permitted = [
        PermittedAction(action, on, graph.paths(user, action, on)) for action, on in snapshot.answer
    ]
    recorded: set[ActionOn] = {(action, None) for action in actions}
    recorded |= await asyncio.to_thread(graph.object_actions, user)
    missing = sum(
        snapshot.has_unexpired(graph.paths(user, action, on))
        for action, on in recorded - set(snapshot.answer)
    )
    async with source.reads() as session:
        positions = positions_in(item.paths for item in permitted)
        decisions = await find_decisions(session, source.organization, positions)
        deciders = users_in_actors(decision.actor for decision in decisions.values())
        names = await find_people(session, source.organization, deciders)
    evidence = Evidence.of(
        snapshot,
        catalog,
        query("what_can", user=user),
        rows=len(permitted),
        unexplained=sum(not item.paths for item in permitted),
        missing=missing,
    )
    return WhatCan(evidence, permitted, decisions, list(names.values()))


async def _on_objects(
    source: AuditSource, engine: Engine, at: Consistency, user: UserId
) -> AsyncIterator[ActionOn]:
    """Yield the user's actions on each of the organization's objects."""
    for type in source.catalog.types.values():
        for action in type.actions:
            ids = engine.lookup_resources(type.id, action, user_object(user), at, LOOKUP_SECONDS)
            async for id in ids:
                if id.startswith(f"{source.organization}/"):
                    yield action, ObjectReference(type.id, id)
