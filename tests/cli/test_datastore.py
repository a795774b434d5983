"""`teamaccess schema datastore` finds what SpiceDB's own migrations leave out, and names the remedy."""

import json

import pytest

from teamaccess.local.postgres.server import SPICEDB
from teamaccess.local.spicedb.server import with_parameters
from teamaccess.local.stack import LocalStack
from teamaccess.upkeep.datastore import INDEX, STATEMENT_CACHE, VARIABLE
from tests.support.command_line import Run
from tests.support.isolated_deployments import IsolatedDeployments

DROP = "DROP INDEX relation_tuple_usersets_idx"


async def test_a_database_of_the_local_stack_has_everything(
    run: Run, stack: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`run` starts the SpiceDB of fintoc's catalog."""
    address = stack.postgres.url("spicedb_fintoc", SPICEDB)
    monkeypatch.setenv(VARIABLE, with_parameters(address, STATEMENT_CACHE))
    done = await run("schema", "datastore")
    assert (done.exit_code, done.stdout) == (0, "SpiceDB's database has everything.\n"), done.output


async def test_a_missing_index_and_missing_parameters_are_named_with_their_cure(
    run: Run,
    stack: LocalStack,
    isolated_deployments: IsolatedDeployments,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, spicedb = await isolated_deployments.spicedb()
    stack.postgres.psql(DROP, name)
    monkeypatch.setenv(VARIABLE, stack.postgres.url(name, SPICEDB))
    done = await run("schema", "datastore", "--json")
    assert done.exit_code == 1, done.output
    index, parameters = json.loads(done.stdout)["problems"]
    assert INDEX in index
    assert "plan_cache_mode=force_custom_plan" in parameters

    cached = {"default_query_exec_mode": "cache_statement"}
    monkeypatch.setenv(VARIABLE, with_parameters(stack.postgres.url(name, SPICEDB), cached))
    stack.postgres.psql(INDEX, name)
    done = await run("schema", "datastore")
    assert done.exit_code == 1
    assert done.stdout.startswith("The address lacks plan_cache_mode=force_custom_plan, ")
    await isolated_deployments.stop(spicedb)


async def test_a_database_without_tables_is_named(
    run: Run, stack: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.postgres.create_database("spicedb_without_tables", SPICEDB)
    address = stack.postgres.url("spicedb_without_tables", SPICEDB)
    monkeypatch.setenv(VARIABLE, with_parameters(address, STATEMENT_CACHE))
    done = await run("schema", "datastore")
    assert done.exit_code == 1, done.output
    [tables] = done.stdout.splitlines()
    assert "spicedb datastore migrate head" in tables


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (None, "it is not set"),
        ("mysql://root@localhost/spicedb", "must be postgresql://"),
        ("postgresql://spicedb:hunter2@127.0.0.1:9/spicedb", "SpiceDB's database does not answer"),
    ],
)
async def test_an_address_that_does_not_work_is_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, address: str | None, message: str
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if address is not None:
        monkeypatch.setenv(VARIABLE, address)
    done = await run("schema", "datastore")
    assert done.exit_code == 2
    assert message in done.stderr
    assert VARIABLE in done.stderr
    assert "hunter2" not in done.output
    assert "Traceback" not in done.output
