"""Every member by every action."""

import asyncio
from dataclasses import dataclass

from teamaccess.access.authorize import MEMBERSHIP
from teamaccess.audit.questions.evidence import Evidence, query
from teamaccess.audit.questions.holders import holders
from teamaccess.audit.questions.people import Person, people
from teamaccess.audit.state.view import AuditSource, View
from teamaccess.engine import Consistency, Engine
from teamaccess.relationships import organization as organization_object
from teamaccess.storage import UserId

Holders = dict[str, set[UserId]]
"""By permission, everybody who has it."""


@dataclass(frozen=True)
class Member:
    """A row."""

    person: Person
    actions: frozenset[str]
    """Those that the engine says yes to."""


@dataclass(frozen=True)
class Matrix:
    """Who can do what, throughout the organization."""

    evidence: Evidence
    actions: list[str]
    """The columns, in the catalog's order. Four-eyes actions are none: objects decide them."""
    members: list[Member]
    """Everybody who is an active member, in the order of their ids."""


async def matrix(source: AuditSource) -> Matrix:
    """Return every active member by every action. Raises what the source's `view` does.

    The engine is asked for the holders of each action: that takes as many questions as there are
    actions, however many members there are.
    """
    actions = [each.id for each in source.catalog.actions.values() if not each.four_eyes]
    here = organization_object(source.organization)

    async def ask(engine: Engine, at: Consistency) -> Holders:
        asked = [(here, permission) for permission in (MEMBERSHIP, *actions)]
        held = await holders(engine, at, asked)
        return {permission: users for (_, permission), users in held.items()}

    view = await source.view(ask)
    held, unexplained, missing = await asyncio.to_thread(_sorted, view, actions)
    evidence = Evidence.of(
        view,
        source.catalog,
        query("matrix"),
        rows=len(held),
        unexplained=unexplained,
        missing=missing,
    )
    async with source.reads() as session:
        names = await people(session, held)
    members = [Member(names[user], held[user]) for user in held]
    return Matrix(evidence, actions, members)


def _sorted(
    view: View[Holders], actions: list[str]
) -> tuple[dict[UserId, frozenset[str]], int, int]:
    """Return the rows, and how many memberships and cells lack a way, or are lacking."""
    graph, held = view.graph, view.answer
    unexplained = len(held[MEMBERSHIP] - graph.members)
    missing = sum(
        not graph.membership_over(user, view.now) for user in graph.members - held[MEMBERSHIP]
    )
    for action in actions:
        known = graph.who(action)
        unexplained += len(held[action] - known)
        missing += sum(view.lasting(graph.paths(user, action)) for user in known - held[action])
    rows = {
        user: frozenset(action for action in actions if user in held[action])
        for user in sorted(held[MEMBERSHIP])
    }
    return rows, unexplained, missing
