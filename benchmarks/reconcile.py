"""The speed of `teamaccess reconcile`, and its memory by the number of relationships."""

import asyncio
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass

from benchmarks.support.environment import Environment
from benchmarks.support.report import Row, Table
from teamaccess.local.postgres.server import APPLICATION, SPICEDB

SIZES = (10_000, 100_000, 1_000_000)
FEW = 10
SMALL = 10
"""Relationships of each organization if there are many."""
KIB = 1024

# Millions of members would take hours through the ledger, so both databases are filled directly: our rows
# without triggers, and SpiceDB's table in one of its transactions.
ROWS = """
SET session_replication_role = replica;
TRUNCATE organizations, users, memberships, role_assignments, invitations, ledger_heads,
  ledger_applications, reconciliations, ledger CASCADE;
INSERT INTO organizations (id, name)
  SELECT 'bench-' || number, 'Bench' FROM generate_series(1, {organizations}) number;
INSERT INTO ledger_heads (organization_id, position, hash, decided_at)
  SELECT id, 0, '', now() FROM organizations;
INSERT INTO users (id, email, name, tokens_valid_from)
  SELECT 'usr_' || lpad(n::text, 20, '0'), n || '@example.com', '', now()
  FROM generate_series(1, {members}) n;
INSERT INTO memberships (organization_id, user_id)
  SELECT 'bench-' || n % {organizations} + 1, 'usr_' || lpad(n::text, 20, '0')
  FROM generate_series(1, {members}) n;
INSERT INTO role_assignments (organization_id, user_id, role)
  SELECT organization_id, user_id, 'support' FROM memberships;
ANALYZE;
"""
GRAPH = """
TRUNCATE relation_tuple;
BEGIN;
INSERT INTO relation_tuple_transaction DEFAULT VALUES;
INSERT INTO relation_tuple
  (namespace, object_id, relation, userset_namespace, userset_object_id, userset_relation)
  SELECT 'organization', 'bench-' || n % {organizations} + 1, relation, 'user',
    'usr_' || lpad(n::text, 20, '0'), '...'
  FROM generate_series(1, {members}) n, unnest(ARRAY['member', 'support']) relation;
COMMIT;
ANALYZE;
"""


@dataclass(frozen=True)
class Cost:
    """The time and memory of one run of the command, by the operating system's accounting."""

    seconds: float
    cpu_seconds: float
    mib: float


async def measure(environment: Environment) -> list[Table]:
    """Reconcile few large organizations and many small ones, each time in a new process."""
    rows: list[Row] = []
    for kind in ("few", "many"):
        for size in SIZES:
            organizations = FEW if kind == "few" else size // SMALL
            await asyncio.to_thread(_fill, environment, organizations, size // 2)
            cost = await asyncio.to_thread(_run, environment)
            rows.append(
                {
                    "organizations": organizations,
                    "relationships": size,
                    "seconds": cost.seconds,
                    "relationships a second": size / cost.seconds,
                    "own CPU seconds": cost.cpu_seconds,
                    "peak memory (MiB)": cost.mib,
                }
            )
    return [Table("teamaccess reconcile, nothing drifted", rows)]


def _fill(environment: Environment, organizations: int, members: int) -> None:
    size = {"organizations": organizations, "members": members}
    environment.stack.postgres.psql(ROWS.format(**size), APPLICATION)
    environment.stack.postgres.psql(GRAPH.format(**size), SPICEDB)


def _run(environment: Environment) -> Cost:
    began = time.monotonic()
    command = [sys.executable, "-m", "teamaccess", "reconcile", "--json"]
    process = subprocess.Popen(
        command,
        env={**os.environ, "TEAMACCESS_HOME": str(environment.settings.home)},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None  # noqa: S101 - for the type checker
    output = json.loads(process.stdout.read())
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"reconcile exited with {process.returncode}: {output}")
    return Cost(time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / KIB)
