"""Relationships of other tenants, which fill a datastore as in a real deployment."""

import secrets
from collections.abc import Iterator

import grpc
from authzed.api.v1 import Relationship, SubjectReference
from authzed.api.v1.permission_service_pb2 import ImportBulkRelationshipsRequest
from authzed.api.v1.permission_service_pb2_grpc import PermissionsServiceStub

from benchmarks.support.bare_stack import reference
from benchmarks.support.environment import Environment
from teamaccess.common.progress import Meter
from teamaccess.local.postgres.server import SPICEDB

RELATIONSHIPS = 100_000
PER_TENANT = 1000


def fill(environment: Environment) -> None:
    """Import 100,000 relationships, and update PostgreSQL's statistics."""
    key = environment.settings.spicedb_preshared_key.get_secret_value()
    with (
        Meter("Filling the datastore", "relationships", RELATIONSHIPS) as meter,
        grpc.insecure_channel(environment.settings.spicedb_endpoint) as channel,
    ):
        PermissionsServiceStub(channel).ImportBulkRelationships(
            _requests(meter), metadata=(("authorization", f"Bearer {key}"),)
        )
    environment.stack.postgres.psql("ANALYZE", database=SPICEDB)


def _requests(meter: Meter) -> Iterator[ImportBulkRelationshipsRequest]:
    for _ in range(RELATIONSHIPS // PER_TENANT):
        yield ImportBulkRelationshipsRequest(relationships=_tenant())
        for _ in range(PER_TENANT):
            meter.step()


def _tenant() -> Iterator[Relationship]:
    resource = reference("organization", f"other-{secrets.token_hex(6)}")
    for _ in range(PER_TENANT // 2):
        subject = SubjectReference(object=reference("user", f"usr_{secrets.token_hex(10)}"))
        for relation in ("member", "support"):
            yield Relationship(resource=resource, relation=relation, subject=subject)
