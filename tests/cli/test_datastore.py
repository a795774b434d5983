"""`teamaccess schema datastore` finds what SpiceDB's own migrations leave out, and names the remedy."""

import json
from pathlib import Path

import pytest

from teamaccess.local.postgres.server import SETTINGS, SPICEDB
from teamaccess.local.spicedb.server import with_parameters
from teamaccess.local.stack import LocalStack
from teamaccess.upkeep.datastore import INDEX, STATEMENT_CACHE, VARIABLE
from tests.support.command_line import Run
from tests.support.isolated_deployments import IsolatedDeployments

DROP = "DROP INDEX relation_tuple_usersets_idx"
SORTED_BY_LANGUAGE = f"""
CREATE SCHEMA language AUTHORIZATION {SPICEDB};
CREATE FUNCTION language.is_before(text, text) RETURNS boolean LANGUAGE sql IMMUTABLE
  RETURN lower($1) OPERATOR(pg_catalog.<) lower($2);
CREATE OPERATOR language.< (LEFTARG = text, RIGHTARG = text, FUNCTION = language.is_before);
ALTER ROLE {SPICEDB} IN DATABASE spicedb_sorted_by_language
  SET search_path = language, pg_catalog, public;
"""
"""Sorts as the collations of languages do, with an operator: this PostgreSQL is built without any."""
ADDRESS = "postgresql://spicedb@127.0.0.1:9/spicedb"


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
    name = await isolated_deployments.datastore()
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


async def test_an_index_whose_creation_failed_is_named_with_its_cure(
    run: Run,
    stack: LocalStack,
    isolated_deployments: IsolatedDeployments,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A CREATE INDEX CONCURRENTLY that is interrupted leaves such an index. IF NOT EXISTS skips it."""
    name = await isolated_deployments.datastore()
    index = "'relation_tuple_usersets_idx'::regclass"
    stack.postgres.psql(f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = {index}", name)
    address = stack.postgres.url(name, SPICEDB)
    monkeypatch.setenv(VARIABLE, with_parameters(address, STATEMENT_CACHE))
    done = await run("schema", "datastore", "--json")
    assert done.exit_code == 1, done.output
    [problem] = json.loads(done.stdout)["problems"]
    assert "is not valid, because creating it failed" in problem

    for cure in (DROP, INDEX):
        assert cure.replace("DROP INDEX", "DROP INDEX CONCURRENTLY") in problem
        stack.postgres.psql(cure, name)
    assert (await run("schema", "datastore")).exit_code == 0


async def test_a_collation_other_than_c_is_named_with_its_cure(
    run: Run, stack: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "spicedb_sorted_by_language"
    stack.postgres.create_database(name, SPICEDB)
    stack.postgres.psql(SORTED_BY_LANGUAGE, name)
    monkeypatch.setenv(
        VARIABLE, with_parameters(stack.postgres.url(name, SPICEDB), STATEMENT_CACHE)
    )
    done = await run("schema", "datastore", "--json")
    assert done.exit_code == 1, done.output
    tables, collation = json.loads(done.stdout)["problems"]
    assert "It has no tables" in tables
    assert collation.startswith("Its collation is not C")
    assert "LOCALE 'C' TEMPLATE template0" in collation


async def test_a_server_that_does_not_track_commits_is_named_with_its_cure(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SETTINGS, "track_commit_timestamp", "off")
    with LocalStack(home) as stack:
        stack.postgres.start()
        stack.postgres.create_database(SPICEDB, SPICEDB)
        address = stack.postgres.url(SPICEDB, SPICEDB)
        monkeypatch.setenv(VARIABLE, with_parameters(address, STATEMENT_CACHE))
        done = await run("schema", "datastore", "--json")
    assert done.exit_code == 1, done.output
    _, commits = json.loads(done.stdout)["problems"]
    assert "does not track commit timestamps" in commits
    assert "track_commit_timestamp = on" in commits


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
        (
            f"{ADDRESS}?plan_cache_mode=auto&plan_cache_mode=force_custom_plan",
            "it has the parameter plan_cache_mode twice",
        ),
        (f"{ADDRESS}?hunter2=1&hunter2=2", "it has a parameter twice"),
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
