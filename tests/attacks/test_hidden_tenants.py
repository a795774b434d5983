"""A stranger cannot distinguish an organization that exists from one that does not.

Neither the answer, nor its cost, nor its behaviour in an outage differs.
"""

import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import event

from teamaccess.engine import Engine
from teamaccess.local.spicedb.server import LocalSpiceDB
from tests.api.requests import VALID_REQUESTS, RequestTargets, Route, routes
from tests.support.database_connections import Connection
from tests.support.deployment import Deployment
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.responses import refused
from tests.support.spicedb_proxy import (
    SpiceDBProxy,
    Writes,
    another_process,
    behind_proxy,
    served_by,
)

BUSY = "organization_busy"
ABOUT_ONE = [route for route in routes() if "{organization}" in route.path]


@contextmanager
def cost(deployment: Deployment, proxy: SpiceDBProxy) -> Iterator[dict[str, Any]]:
    """Count the cost of a request: statements in PostgreSQL and calls to SpiceDB."""
    counted: dict[str, Any] = {}
    statements: Counter[str] = Counter()

    def executed(_: Any, __: Any, statement: str, *___: Any) -> None:
        statements[statement] += 1

    pools = [
        session.kw["bind"].sync_engine
        for session in (deployment.service.sessions, deployment.service.reads)
    ]
    proxy.seen.clear()
    for pool in pools:
        event.listen(pool, "before_cursor_execute", executed)
    try:
        yield counted
    finally:
        for pool in pools:
            event.remove(pool, "before_cursor_execute", executed)
        counted.update(statements=statements, calls=list(proxy.seen))


async def test_an_unknown_organization_gives_the_same_answer_at_the_same_cost(
    acme: Organization, globex: Organization
) -> None:
    await _assert_equal_cost(await RequestTargets.create(acme), globex)


async def test_a_stopped_organization_costs_a_stranger_as_much_as_an_unknown_one(
    acme: Organization, globex: Organization, application_connection: Connection
) -> None:
    """A stranger's request must not send the refused entry again, nor log anything about it."""
    targets = await RequestTargets.create(acme)
    await application_connection.execute(
        "INSERT INTO ledger (organization_id, updates, actor, channel, request_id, catalog_version)"
        " VALUES ($1, ARRAY[$2], 'user:eve', 'api', 'forged', 'none')",
        acme.id,
        f"TOUCH organization:{acme.id}#overlord@user:eve",
    )
    await acme.wait_until_stopped()
    await _assert_equal_cost(targets, globex)


async def _assert_equal_cost(targets: RequestTargets, globex: Organization) -> None:
    """A stranger gets the same answer, at the same cost, about acme and about an unknown organization."""
    acme = targets.organization
    async with behind_proxy(acme.deployment) as (second, proxy):
        stranger = served_by(second, globex).administrator
        for route in ABOUT_ONE:
            reported = []
            for organization in (acme.id, f"{acme.id}-none"):
                await _ask(targets, route, stranger, organization)  # cached after the first time
                with cost(second, proxy) as counted:
                    answer = await _ask(targets, route, stranger, organization)
                body = answer.text.replace(organization, "it")
                reported.append((answer.status_code, body, counted["calls"], counted["statements"]))
            assert reported[0] == reported[1], (route, reported)
            assert reported[0][0] in (400, 404), route


async def test_an_outage_of_spicedb_does_not_reveal_whether_an_organization_exists(
    acme: Organization, globex: Organization
) -> None:
    async with behind_proxy(acme.deployment) as (second, proxy):
        targets, stranger = (
            await RequestTargets.create(acme),
            served_by(second, globex).administrator,
        )
        await proxy.stop()
        await _assert_answered_alike(targets, stranger)


async def test_pending_changes_do_not_reveal_an_organization_to_strangers(
    acme: Organization, globex: Organization
) -> None:
    """A change is pending. Only members learn of it."""
    async with behind_proxy(acme.deployment, enforcement_seconds=0.2) as (second, proxy):
        targets = await RequestTargets.create(acme)
        ana, stranger = (
            served_by(second, organization).administrator for organization in (acme, globex)
        )
        proxy.writes = Writes.FAIL
        assert (await served_by(second, acme).invite("pending", ["support"])).status_code == 202
        await _assert_answered_alike(targets, stranger)
        refused(await served_by(second, acme).invite("next", ["support"], by=ana), 503, BUSY)


@pytest.mark.parametrize("kind", ["of the same kind", "of another kind"])
async def test_an_empty_spicedb_does_not_reveal_an_organization_to_strangers(
    acme: Organization, globex: Organization, spicedb_for: Callable[[str], LocalSpiceDB], kind: str
) -> None:
    """SpiceDB was replaced.

    Only members learn of it. A SpiceDB of another kind cannot read the tokens of the old one, and is
    asked for its newest state instead.
    """
    targets = await RequestTargets.create(acme)
    if kind == "of the same kind":
        spicedb = spicedb_for("empty")
        endpoint, key = spicedb.endpoint, spicedb.key
    else:
        endpoint, key = str(acme.deployment.settings.sandbox_endpoint), secrets.token_hex(32)
    async with Engine(endpoint, key) as engine:
        await engine.write_schema(acme.deployment.service.catalog.schema())
    there = {"spicedb_endpoint": endpoint, "spicedb_preshared_key": SecretStr(key)}
    async with another_process(acme.deployment, **there) as second:
        ana, stranger = (
            served_by(second, organization).administrator for organization in (acme, globex)
        )
        await _assert_answered_alike(targets, stranger)
        refused(await ana.ask("GET", acme.path), 503, "other_history")


async def _assert_answered_alike(targets: RequestTargets, stranger: Person) -> None:
    """Every route gives a stranger the same answer for this organization as for an invented one."""
    names = (targets.organization.id, f"{targets.organization.id}-none")
    for route in ABOUT_ONE:
        answers = [await _ask(targets, route, stranger, name) for name in names]
        _assert_equal_answers(names, answers, route)
    checks = [{"checks": [{"organization": name, "action": "refunds_create"}]} for name in names]
    answers = [await stranger.ask("POST", "/v1/check", json=each) for each in checks]
    _assert_equal_answers(names, answers, "a check")


def _assert_equal_answers(
    names: Sequence[str], answers: Sequence[httpx.Response], asked: object
) -> None:
    reported = [
        (answer.status_code, answer.text.replace(name, "it"))
        for name, answer in zip(names, answers, strict=True)
    ]
    assert reported[0] == reported[1], asked


async def _ask(targets: RequestTargets, route: Route, by: Person, organization: str) -> Any:
    return await targets.ask(route, by, url=targets.url(route, organization=organization))


def test_every_route_of_an_organization_is_tried() -> None:
    assert set(ABOUT_ONE) <= set(VALID_REQUESTS)
