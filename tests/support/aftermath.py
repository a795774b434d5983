"""What must be true of organizations after whatever happened in them at once."""

from collections.abc import Sequence
from typing import Any

import httpx
from sqlalchemy import func, select

from teamaccess.storage import (
    Event,
    LedgerEntry,
    Membership,
    Organization,
    RoleAssignment,
)
from tests.support.chain_hashes import broken_entries, broken_events
from tests.support.sides import agreed, entries, markers
from tests.support.world import Team, World

REFUSALS = {"refused", "acceptance_refused", "sign_in_refused"}
"""Events that tell of what was not done."""
NOT_NOW = {"organization_busy", "database_unavailable"}
"""What an overburdened service may say instead of doing something."""


def outcome(answer: httpx.Response) -> str:
    """What was answered, in short: the status, of a refusal its code too."""
    if answer.is_success:
        return str(answer.status_code)
    return f"{answer.status_code} {answer.json()['code']}"


async def whole(team: Team) -> None:
    """Assert that rows, ledger and engine agree, the chains hold, and somebody administrates."""
    await team.world.service.applier.catch_up(team.id)  # what a worker would do in a moment
    await agreed(team)
    ledger = await entries(team)
    assert await markers(team) == {each.position: each.hash.hex()[:12] for each in ledger}
    async with team.world.service.reads() as session:
        raw: Any = await (await session.connection()).get_raw_connection()
        assert await broken_entries(raw.driver_connection, team.id) == []
        assert await broken_events(raw.driver_connection, team.id) == []
    assert await lasting_administrators(team) > 0 or await ended(team)


async def done_as_answered(world: World, answers: Sequence[httpx.Response]) -> None:
    """Assert that what was answered as done is in the ledger or told, and what was refused is not."""
    requests = [answer.headers["x-request-id"] for answer in answers]
    async with world.service.reads() as session:
        decided = set(
            await session.execute(
                select(
                    LedgerEntry.request_id, LedgerEntry.organization_id, LedgerEntry.position
                ).where(LedgerEntry.request_id.in_(requests))
            )
        )
        told = set(
            await session.scalars(
                select(Event.request_id).where(
                    Event.request_id.in_(requests), Event.kind.not_in(REFUSALS)
                )
            )
        )
    done = told | {request for request, _, _ in decided}
    places = {(organization, position): request for request, organization, position in decided}
    for request, answer in zip(requests, answers, strict=True):
        assert answer.status_code < 500 or answer.json()["code"] in NOT_NOW, answer.text
        doer = request
        if place := answer.headers.get("Teamaccess-Change"):
            organization, _, position = place.partition(":")
            # perhaps another one's with an Idempotency-Key; an older one where no relationship changed
            doer = places.get((organization, int(position)), request)
            assert doer == request or "Idempotency-Key" in answer.request.headers
        assert answer.is_success == (doer in done), f"{outcome(answer)}: {answer.text}"


async def lasting_administrators(team: Team) -> int:
    """How many active members administrate the organization without an end."""
    async with team.world.service.reads() as session:
        found = await session.scalar(
            select(func.count())
            .select_from(Membership)
            .join(Membership.assignments)
            .where(
                Membership.organization_id == team.id,
                Membership.suspended_at.is_(None),
                Membership.expires_at.is_(None),
                RoleAssignment.role == team.world.service.catalog.administrator,
                RoleAssignment.expires_at.is_(None),
            )
        )
    return found or 0


async def ended(team: Team) -> bool:
    """Whether the organization was deleted."""
    async with team.world.service.reads() as session:
        return (await session.get_one(Organization, team.id)).deleted_at is not None
