"""What must be true of organizations after any concurrent requests."""

from collections.abc import Sequence
from typing import Any

import httpx
from sqlalchemy import func, select

from teamaccess.storage import (
    Event,
    LedgerEntry,
    Membership,
    RoleAssignment,
)
from teamaccess.storage import (
    Organization as OrganizationRow,
)
from tests.support.agreement import applied_positions, assert_agreement, ledger_entries
from tests.support.chain_hashes import broken_entries, broken_events
from tests.support.deployment import Deployment
from tests.support.organization import Organization

REFUSALS = {"refused", "acceptance_refused", "sign_in_refused"}
"""Events of refusals."""
OVERLOAD_CODES = {"organization_busy", "database_busy", "database_unavailable"}
"""Codes that an overloaded service may answer with."""


def summarize_answer(answer: httpx.Response) -> str:
    """The answer in short: the status, and the code of a refusal."""
    if answer.is_success:
        return str(answer.status_code)
    return f"{answer.status_code} {answer.json()['code']}"


async def assert_consistent(organization: Organization) -> None:
    """Assert that rows, ledger and SpiceDB agree, the chains hold, and an administrator remains."""
    await organization.deployment.service.applier.catch_up(
        organization.id
    )  # as a worker would soon do
    await assert_agreement(organization)
    ledger = await ledger_entries(organization)
    assert await applied_positions(organization) == {
        each.position: each.hash.hex()[:12] for each in ledger
    }
    async with organization.deployment.service.reads() as session:
        raw: Any = await (await session.connection()).get_raw_connection()
        assert await broken_entries(raw.driver_connection, organization.id) == []
        assert await broken_events(raw.driver_connection, organization.id) == []
    assert await count_permanent_administrators(organization) > 0 or await is_deleted(organization)


async def assert_answers_match_records(
    deployment: Deployment, answers: Sequence[httpx.Response]
) -> None:
    """Assert that successful answers are in the ledger or the events, and refused ones are not."""
    requests = [answer.headers["x-request-id"] for answer in answers]
    async with deployment.service.reads() as session:
        decided = set(
            await session.execute(
                select(
                    LedgerEntry.request_id, LedgerEntry.organization_id, LedgerEntry.position
                ).where(LedgerEntry.request_id.in_(requests))
            )
        )
        reported = set(
            await session.scalars(
                select(Event.request_id).where(
                    Event.request_id.in_(requests), Event.kind.not_in(REFUSALS)
                )
            )
        )
    done = reported | {request for request, _, _ in decided}
    requests_by_position = {
        (organization, position): request for request, organization, position in decided
    }
    for request, answer in zip(requests, answers, strict=True):
        assert answer.status_code < 500 or answer.json()["code"] in OVERLOAD_CODES, answer.text
        committed_by = request
        if position_header := answer.headers.get("Teamaccess-Change"):
            organization, _, position = position_header.partition(":")
            # The position can be of a request with the same Idempotency-Key. It can also be older than
            # all requests, if no relationship changed.
            committed_by = requests_by_position.get((organization, int(position)), request)
            assert committed_by == request or "Idempotency-Key" in answer.request.headers
        assert answer.is_success == (committed_by in done), (
            f"{summarize_answer(answer)}: {answer.text}"
        )


async def count_permanent_administrators(organization: Organization) -> int:
    """The number of active administrators without expiry."""
    async with organization.deployment.service.reads() as session:
        found = await session.scalar(
            select(func.count())
            .select_from(Membership)
            .join(Membership.assignments)
            .where(
                Membership.organization_id == organization.id,
                Membership.suspended_at.is_(None),
                Membership.expires_at.is_(None),
                RoleAssignment.role == organization.deployment.service.catalog.administrator,
                RoleAssignment.expires_at.is_(None),
            )
        )
    return found or 0


async def is_deleted(organization: Organization) -> bool:
    """Whether the organization was deleted."""
    async with organization.deployment.service.reads() as session:
        return (await session.get_one(OrganizationRow, organization.id)).deleted_at is not None
