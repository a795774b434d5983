"""PostgreSQL answers but accepts no changes: nobody has to restart the service afterwards."""

import asyncio

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import SQLAlchemyError

from teamaccess.api.problems import database_error
from teamaccess.local.stack import LocalStack
from tests.support.deployment import Deployment
from tests.support.responses import refused

END = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE usename = 'teamaccess' AND datname = '{}'
"""


async def test_sessions_that_only_read_answer_503_and_recover_without_a_restart(
    isolated: Deployment, stack: LocalStack
) -> None:
    acme = await isolated.create_organization("acme")
    bob = await acme.member("bob", roles=["support"])
    operator = await isolated.operator_person()
    database = make_url(isolated.owner_url).database or ""
    await asyncio.to_thread(
        stack.postgres.psql,
        f'ALTER DATABASE "{database}" SET default_transaction_read_only = on;'
        + END.format(database),
    )

    for _ in range(2):
        answer = await acme.change_roles(bob, "developer")
        refused(answer, 503, "database_unavailable")
        assert "Retry-After" in answer.headers
    ready = await operator.ask("GET", "/readyz")
    assert (ready.status_code, ready.json()["database"]) == (503, "accepts no changes")

    # the present connections still only read, as those to a demoted server do
    await asyncio.to_thread(
        stack.postgres.psql, f'ALTER DATABASE "{database}" RESET default_transaction_read_only'
    )
    answers = [await acme.change_roles(bob, "developer") for _ in range(3)]
    assert [each.status_code for each in answers][-1] == 200
    for _ in range(2):
        ready = await operator.ask("GET", "/readyz")
    assert ready.status_code == 200, ready.text


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("25006", 503),  # a session that only reads
        ("53100", 503),  # a full disk
        ("58030", 503),  # an input or output error
        ("XX001", 503),  # a corrupt page
        ("28P01", 503),  # a changed password
        ("3D000", 503),  # a database that is gone
        ("55000", 503),  # a state of the server
        ("72000", 503),  # an old snapshot
        ("ZZ999", 503),  # a class of a future version
        ("22012", 500),
        ("23505", 500),
        ("42P01", 503),  # a table of another version
        ("42601", 500),
        ("42501", 500),
        ("P0001", 500),
    ],
)
async def test_the_class_of_an_error_decides_the_status(
    fintoc: Deployment, state: str, status: int
) -> None:
    """PostgreSQL raises each of them here."""
    statement = f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{state}'; END $$"
    with pytest.raises(SQLAlchemyError) as raised:
        async with fintoc.service.reads() as session:
            await session.execute(text(statement))
    assert database_error(raised.value).status_code == status
