"""The matrix: every member by every action."""

import asyncio
from dataclasses import dataclass

from teamaccess.access.authorize import MEMBERSHIP
from teamaccess.audit.questions.evidence import Evidence, query
from teamaccess.audit.questions.holders import find_holders
from teamaccess.audit.questions.people import Person, find_people
from teamaccess.audit.state.snapshot import AuditSource, Snapshot
from teamaccess.engine import Consistency, Engine
from teamaccess.relationships import organization as organization_object
from teamaccess.storage import UserId

HoldersByPermission = dict[str, set[UserId]]


@dataclass(frozen=True)
class MatrixRow:
    """One member and their actions."""

    person: Person
    actions: frozenset[str]
    """The actions that the engine allows."""


@dataclass(frozen=True)
class Matrix:
    """Who can do what throughout the organization."""

    evidence: Evidence
    actions: list[str]
    """The columns, in the catalog's order. Four-eyes actions are left out: each object decides them."""
    members: list[MatrixRow]
    """All active members, in the order of their ids."""


async def matrix(source: AuditSource) -> Matrix:
    """Return every active member by every action. Raises what the source's `snapshot` does.

    The engine is asked for the holders of each action, so the number of questions depends on the number
    of actions and not on the number of members.
    """
    permissions = source.catalog.permissions.values()
    actions = [action.id for action in permissions if not action.four_eyes]
    organization = organization_object(source.organization)

    async def ask(engine: Engine, at: Consistency) -> HoldersByPermission:
        questions = [(organization, permission) for permission in (MEMBERSHIP, *actions)]
        holders = await find_holders(engine, at, questions)
        return {permission: users for (_, permission), users in holders.items()}

    snapshot = await source.snapshot(ask)
    rows, unexplained, missing = await asyncio.to_thread(_rows, snapshot, actions)
    evidence = Evidence.of(
        snapshot,
        source.catalog,
        query("matrix"),
        rows=len(rows),
        unexplained=unexplained,
        missing=missing,
    )
    async with source.reads() as session:
        names = await find_people(session, source.organization, rows)
    members = [MatrixRow(names[user], held) for user, held in rows.items()]
    return Matrix(evidence, actions, members)


def _rows(
    snapshot: Snapshot[HoldersByPermission], actions: list[str]
) -> tuple[dict[UserId, frozenset[str]], int, int]:
    """Return the rows, and how many memberships and cells are unexplained, and how many are missing."""
    graph, holders = snapshot.graph, snapshot.answer
    unexplained = len(holders[MEMBERSHIP] - graph.members)
    missing = sum(
        not graph.membership_expired(user, snapshot.now)
        for user in graph.members - holders[MEMBERSHIP]
    )
    for action in actions:
        recorded = graph.users_with(action)
        unexplained += len(holders[action] - recorded)
        missing += sum(
            snapshot.has_unexpired(graph.paths(user, action)) for user in recorded - holders[action]
        )
    rows = {
        user: frozenset(action for action in actions if user in holders[action])
        for user in sorted(holders[MEMBERSHIP])
    }
    return rows, unexplained, missing
