"""A stranger cannot tell an organization that exists from one that does not.

Not by the answer, not by what it costs, and not by how an outage looks.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from tests.api.requests import ASKS, Route, Stage, routes
from tests.support.spicedb_proxy import Link, linked, through
from tests.support.world import Person, Team, World

ABOUT_ONE = [route for route in routes() if "{organization}" in route.path]


@contextmanager
def cost(world: World, link: Link) -> Iterator[dict[str, Any]]:
    """Count what a request costs: statements in PostgreSQL and calls to SpiceDB."""
    counted: dict[str, Any] = {}
    statements: Counter[str] = Counter()

    def executed(_: Any, __: Any, statement: str, *___: Any) -> None:
        statements[statement] += 1

    pools = [
        session.kw["bind"].sync_engine for session in (world.service.sessions, world.service.reads)
    ]
    link.seen.clear()
    for pool in pools:
        event.listen(pool, "before_cursor_execute", executed)
    try:
        yield counted
    finally:
        for pool in pools:
            event.remove(pool, "before_cursor_execute", executed)
        counted.update(statements=statements, calls=list(link.seen))


async def test_an_organization_that_does_not_exist_answers_and_costs_the_same(
    acme: Team, globex: Team
) -> None:
    async with linked(acme.world) as (second, link):
        stage, stranger = await Stage.set(acme), through(second, globex).administrator
        for route in ABOUT_ONE:
            told = []
            for organization in (acme.id, f"{acme.id}-none"):
                await _ask(
                    stage, route, stranger, organization
                )  # what is kept after the first time
                with cost(second, link) as counted:
                    answer = await _ask(stage, route, stranger, organization)
                body = answer.text.replace(organization, "it")
                told.append((answer.status_code, body, counted["calls"], counted["statements"]))
            assert told[0] == told[1], route
            assert told[0][0] in (400, 404), route


async def test_while_spicedb_is_away_neither_says_whether_it_exists(
    acme: Team, globex: Team
) -> None:
    async with linked(acme.world) as (second, link):
        stage, stranger = await Stage.set(acme), through(second, globex).administrator
        await link.down()
        for route in ABOUT_ONE:
            answers = [
                await _ask(stage, route, stranger, organization)
                for organization in (acme.id, f"{acme.id}-none")
            ]
            assert len({answer.status_code for answer in answers}) == 1, route
            assert len({answer.json()["code"] for answer in answers}) == 1, route


async def _ask(stage: Stage, route: Route, by: Person, organization: str) -> Any:
    return await stage.ask(route, by, url=stage.url(route, organization=organization))


def test_every_route_is_known() -> None:
    assert set(ABOUT_ONE) <= set(ASKS)
