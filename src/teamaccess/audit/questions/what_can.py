"""What somebody can do: actions throughout the organization, and objects one by one."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import NamedTuple

from teamaccess.audit.questions.evidence import Evidence, query
from teamaccess.audit.questions.origins import Origin, origins
from teamaccess.audit.questions.people import Person, people, users_in
from teamaccess.audit.state.graph import Path, positions
from teamaccess.audit.state.view import AuditSource
from teamaccess.engine import Consistency, Engine
from teamaccess.relationships import ObjectReference, user
from teamaccess.relationships import organization as organization_object
from teamaccess.storage import UserId

SECONDS = 60.0
"""How long the engine may take to name the objects of one type."""


class Can(NamedTuple):
    """Something that somebody can do."""

    action: str
    on: ObjectReference | None
    """The object; None for an action throughout the organization."""
    paths: list[Path]
    """Every way in which they can; empty where the ledger knows of none."""


@dataclass(frozen=True)
class WhatCan:
    """Everything that somebody can do."""

    evidence: Evidence
    cans: list[Can]
    """Actions throughout the organization in the catalog's order, then objects."""
    origins: dict[int, Origin]
    """Of every position that the paths name."""
    people: list[Person]
    """Whom the origins name."""


async def what_can(source: AuditSource, who: UserId) -> WhatCan:
    """Return everything that a user can do: nothing for who is no member.

    Raises what the source's `view` does.
    """
    catalog, here = source.catalog, organization_object(source.organization)
    actions = [each.id for each in catalog.actions.values() if not each.four_eyes]

    async def ask(engine: Engine, at: Consistency) -> list[tuple[str, ObjectReference | None]]:
        held = await engine.permitted(here, actions, user(who), at)
        everywhere: list[tuple[str, ObjectReference | None]] = [
            (action, None) for action in actions if action in held
        ]
        return everywhere + [each async for each in _objects(source, engine, at, who)]

    view = await source.view(ask, about=who)
    graph, known = view.graph, set(view.answer)
    cans = [Can(action, on, graph.paths(who, action, on)) for action, on in view.answer]
    expected: set[tuple[str, ObjectReference | None]] = {(action, None) for action in actions}
    expected |= await asyncio.to_thread(graph.objects, who)
    missing = sum(1 for each in expected - known if view.lasting(graph.paths(who, *each)))
    async with source.reads() as session:
        told = await origins(session, source.organization, positions(can.paths for can in cans))
        deciding = users_in(origin.actor for origin in told.values())
        names = await people(session, deciding)
    evidence = Evidence.of(
        view,
        catalog,
        query("what_can", user=who),
        rows=len(cans),
        unexplained=sum(1 for can in cans if not can.paths),
        missing=missing,
    )
    return WhatCan(evidence, cans, told, list(names.values()))


async def _objects(
    source: AuditSource, engine: Engine, at: Consistency, who: UserId
) -> AsyncIterator[tuple[str, ObjectReference]]:
    """Yield what the user can do on which of the organization's objects."""
    for kind in source.catalog.types.values():
        for verb in kind.actions:
            async for id in engine.lookup_resources(kind.id, verb, user(who), at, SECONDS):
                if id.startswith(f"{source.organization}/"):
                    yield verb, ObjectReference(kind.id, id)
