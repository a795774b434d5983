"""A gap of the watch is a finding that says from when until when nobody saw SpiceDB's writes."""

import re
from datetime import datetime
from typing import Any

from sqlalchemy import select, text

from teamaccess.directory.organizations.findings import resolve_findings
from teamaccess.storage import Finding, FindingKind
from tests.support.deployment import OPERATOR, Deployment
from tests.support.spicedb_proxy import running_worker, wait_until

CURSOR = text("SELECT zed_token FROM watch_cursor WHERE zed_token <> ''")


async def unwatched(deployment: Deployment) -> list[tuple[int, dict[str, Any]]]:
    """The open findings about unwatched times, with their ids."""
    async with deployment.service.reads() as session:
        rows = await session.execute(
            select(Finding.id, Finding.details).where(
                Finding.kind == FindingKind.UNWATCHED, Finding.resolved_at.is_(None)
            )
        )
        return [(id, details) for id, details in rows]


async def test_a_cursor_that_spicedb_refuses_is_a_finding_with_both_times(
    isolated: Deployment,
) -> None:
    """As after a restore of SpiceDB, or after it has discarded the cursor's revision."""

    async def watches() -> bool:
        async with isolated.service.reads() as session:
            return await session.scalar(CURSOR) is not None

    async with running_worker(isolated):
        await wait_until(watches)
    async with isolated.service.sessions.begin() as session:
        await session.execute(
            text(
                "UPDATE watch_cursor SET zed_token = 'of another SpiceDB',"
                " saved_at = '2026-01-05T06:07:08Z'"
            )
        )
    before = await isolated.service.now()

    async def any_gap() -> bool:
        return bool(await unwatched(isolated))

    async with running_worker(isolated):
        await wait_until(any_gap)
        await wait_until(watches)
    [(id, details)] = await unwatched(isolated)
    assert datetime.fromisoformat(details["from"]).isoformat() == "2026-01-05T06:07:08+00:00"
    assert before <= datetime.fromisoformat(details["to"]) <= await isolated.service.now()
    assert details["why"]

    async with isolated.service.ledger.change(OPERATOR) as change:
        await resolve_findings(change, [id], "compared everything")
        await isolated.service.ledger.commit(change)
    assert await unwatched(isolated) == []


async def test_the_time_until_the_watch_begins_again_is_a_finding_too(
    isolated: Deployment,
) -> None:
    """The workers were stopped just after SpiceDB had refused the cursor."""
    async with isolated.service.sessions.begin() as session:
        await session.execute(
            text("INSERT INTO watch_cursor VALUES (1, '', clock_timestamp() - interval '1 hour')")
        )

    async def any_gap() -> bool:
        return bool(await unwatched(isolated))

    async with running_worker(isolated):
        await wait_until(any_gap)
    [(_, details)] = await unwatched(isolated)
    begin, end = (datetime.fromisoformat(details[each]) for each in ("from", "to"))
    assert 3600 <= (end - begin).total_seconds() < 3700


async def test_a_metric_grows_while_no_worker_watches(isolated: Deployment) -> None:
    operator = await isolated.operator_person()

    async def seconds() -> float:
        scraped = (await operator.ask("GET", "/metrics")).text
        [line] = re.findall(r"^teamaccess_watch_unwatched_seconds (.*)$", scraped, re.MULTILINE)
        return float(line)

    async def watched() -> bool:
        return 0 < await seconds() < 30

    async with isolated.service.sessions.begin() as session:
        await session.execute(
            text("INSERT INTO watch_cursor VALUES (1, '', clock_timestamp() - interval '1 hour')")
        )
    assert await seconds() > 3600
    async with running_worker(isolated):
        await wait_until(watched)
