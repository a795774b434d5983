"""SpiceDB's database with our index: the teams of a role are found among any number of people."""

import time
from pathlib import Path

import grpc
from authzed.api.v1 import (
    CheckPermissionRequest,
    CheckPermissionResponse,
    Consistency,
    ObjectReference,
    SubjectReference,
    WriteSchemaRequest,
)
from authzed.api.v1.permission_service_pb2_grpc import PermissionsServiceStub
from authzed.api.v1.schema_service_pb2_grpc import SchemaServiceStub

from teamaccess.local.postgres.server import LocalPostgres
from teamaccess.local.sockets import choose_port
from teamaccess.local.spicedb.build import ensure_spicedb
from teamaccess.local.spicedb.server import LocalSpiceDB, with_parameters
from teamaccess.local.stack import LocalStack
from teamaccess.upkeep.datastore import STATEMENT_CACHE

INSTALL = Path(__file__).parents[2] / "docs" / "how-to" / "install-and-upgrade.md"
DATABASE = "spicedb_crowd"
SCHEMA = """
definition user {}
definition team {
  relation member: user
}
definition organization {
  relation support: user | team#member
  permission refund = support
}
"""
CROWD = """
BEGIN;
INSERT INTO relation_tuple_transaction DEFAULT VALUES;
INSERT INTO relation_tuple
  (namespace, object_id, relation, userset_namespace, userset_object_id, userset_relation)
SELECT 'organization', 'acme', 'support', 'user', 'usr_' || n, '...' FROM generate_series(1, 20000) n
UNION ALL SELECT 'organization', 'acme', 'support', 'team', 'pay', 'member'
UNION ALL SELECT 'team', 'pay', 'member', 'user', 'eve', '...';
COMMIT;
VACUUM ANALYZE;
"""
USED = (
    "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'relation_tuple_usersets_idx'"
)


def test_the_index_finds_the_teams_among_the_holders_of_a_role(
    stack: LocalStack, postgres: LocalPostgres
) -> None:
    spicedb = stack.start_spicedb(database=DATABASE)
    key = (("authorization", f"Bearer {spicedb.key}"),)
    with grpc.insecure_channel(spicedb.endpoint) as channel:
        schema = WriteSchemaRequest(schema=SCHEMA)
        SchemaServiceStub(channel).WriteSchema(schema, metadata=key)
        postgres.psql(CROWD, DATABASE)
        before = int(postgres.psql(USED, DATABASE))
        response = PermissionsServiceStub(channel).CheckPermission(
            CheckPermissionRequest(
                consistency=Consistency(fully_consistent=True),
                resource=ObjectReference(object_type="organization", object_id="acme"),
                permission="refund",
                subject=SubjectReference(
                    object=ObjectReference(object_type="user", object_id="eve")
                ),
            ),
            metadata=key,
        )
    assert response.permissionship == CheckPermissionResponse.PERMISSIONSHIP_HAS_PERMISSION
    deadline = time.monotonic() + 20
    while int(postgres.psql(USED, DATABASE)) == before:  # the statistics are updated with a delay
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_statements_are_prepared_only_if_they_are_planned_each_time() -> None:
    both = "default_query_exec_mode=cache_statement&plan_cache_mode=force_custom_plan"
    for url, joint in (
        ("postgresql://spicedb@/spicedb?host=%2Ftmp%2Fsockets", "&"),
        ("postgresql://spicedb:p%2Fw@db:5432/spicedb", "?"),
    ):
        assert with_parameters(url, STATEMENT_CACHE) == f"{url}{joint}{both}"
    assert f"postgresql://spicedb:...@db/spicedb?{both}" in INSTALL.read_text(encoding="utf-8")


def test_a_local_spicedb_prepares_its_statements(
    stack: LocalStack, postgres: LocalPostgres
) -> None:
    """With a third parameter in the URI, PostgreSQL shows that the parameters reach its sessions."""
    postgres.create_database("spicedb_statements", owner="spicedb")
    spicedb = LocalSpiceDB(
        ensure_spicedb(),
        stack.supervisor,
        database_url=postgres.url("spicedb_statements", "spicedb"),
        key="statements",
        port=choose_port(0, "SpiceDB", ""),
        parameters={**STATEMENT_CACHE, "application_name": "prepares_statements"},
    )
    spicedb.migrate()
    spicedb.start("spicedb_statements")
    sessions = "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = '{}'"
    assert postgres.psql(sessions.format("prepares_statements")).strip() == "t"
