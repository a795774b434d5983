"""SpiceDB's test server: each key gets a separate, empty SpiceDB."""

import secrets
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
from authzed.api.v1 import (
    CheckBulkPermissionsRequest,
    CheckBulkPermissionsRequestItem,
    CheckPermissionResponse,
    Consistency,
    LookupSubjectsRequest,
    ObjectReference,
    RelationshipUpdate,
    SubjectReference,
    WriteRelationshipsRequest,
    WriteSchemaRequest,
)
from authzed.api.v1 import Relationship as RelationshipMessage
from authzed.api.v1.permission_service_pb2_grpc import PermissionsServiceStub
from authzed.api.v1.schema_service_pb2_grpc import SchemaServiceStub

from teamaccess import relationships as graph

NOW = Consistency(fully_consistent=True)
REFUSALS = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION)
HAS = CheckPermissionResponse.PERMISSIONSHIP_HAS_PERMISSION


@contextmanager
def serve_testing(spicedb: Path) -> Iterator[grpc.Channel]:
    """Run the server on a socket that only this user can reach; it ends with the block."""
    with TemporaryDirectory(prefix="spicedb-") as folder:
        address = f"unix:{folder}/grpc.sock"
        server = subprocess.Popen(
            [
                *(spicedb, "serve-testing", "--skip-release-check", "--log-level", "warn"),
                *("--grpc-network", "unix", "--grpc-addr", address.removeprefix("unix:")),
                *("--grpc-max-conn-age", "24h", "--readonly-grpc-enabled=false"),
            ]
        )
        try:
            with grpc.insecure_channel(address) as channel:
                grpc.channel_ready_future(channel).result(timeout=60)
                yield channel
        finally:
            server.terminate()
            server.wait()


class Engine:
    """One empty SpiceDB."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._key = (("authorization", f"Bearer {secrets.token_hex(32)}"),)
        self._schema = SchemaServiceStub(channel)
        self._permissions = PermissionsServiceStub(channel)

    def write_schema(self, schema: str) -> None:
        self._schema.WriteSchema(WriteSchemaRequest(schema=schema), metadata=self._key)

    def write(self, relationships: Iterable[graph.Relationship]) -> None:
        updates = [
            RelationshipUpdate(
                operation=RelationshipUpdate.OPERATION_TOUCH, relationship=message(r)
            )
            for r in relationships
        ]
        self._permissions.WriteRelationships(
            WriteRelationshipsRequest(updates=updates), metadata=self._key
        )

    def accepts_schema(self, schema: str) -> bool:
        return _accepted(lambda: self.write_schema(schema))

    def accepts(self, relationship: graph.Relationship) -> bool:
        return _accepted(lambda: self.write([relationship]))

    def holds(self, questions: Iterable[str]) -> dict[str, bool]:
        """Return the answer to each question: `organization:acme#webhooks_create@user:ana`."""
        asked = list(questions)
        answer = self._permissions.CheckBulkPermissions(
            CheckBulkPermissionsRequest(consistency=NOW, items=[item(text) for text in asked]),
            metadata=self._key,
        )
        for pair in answer.pairs:
            assert not pair.HasField("error"), pair.error
        return {
            text: pair.item.permissionship == HAS
            for text, pair in zip(asked, answer.pairs, strict=True)
        }

    def users(self, permission: str) -> set[str]:
        """All users with a permission such as `organization:acme#webhooks_create`."""
        resource, _, name = permission.partition("#")
        found = self._permissions.LookupSubjects(
            LookupSubjectsRequest(
                consistency=NOW,
                resource=object_message(graph.ObjectReference.parse(resource)),
                permission=name,
                subject_object_type="user",
            ),
            metadata=self._key,
        )
        return {f"user:{each.subject.subject_object_id}" for each in found}


def _accepted(write: Callable[[], None]) -> bool:
    """Whether SpiceDB accepted a write or refused its content."""
    try:
        write()
    except grpc.RpcError as refusal:
        if refusal.code() not in REFUSALS:
            raise
        return False
    return True


def item(question: str) -> CheckBulkPermissionsRequestItem:
    asked = graph.Relationship.parse(question)
    return CheckBulkPermissionsRequestItem(
        resource=object_message(asked.resource),
        permission=asked.relation,
        subject=subject_message(asked.subject),
    )


def message(relationship: graph.Relationship) -> RelationshipMessage:
    written = RelationshipMessage(
        resource=object_message(relationship.resource),
        relation=relationship.relation,
        subject=subject_message(relationship.subject),
    )
    if relationship.expiration is not None:
        written.optional_expires_at.FromDatetime(relationship.expiration)
    return written


def subject_message(subject: graph.SubjectReference) -> SubjectReference:
    return SubjectReference(
        object=object_message(subject.object), optional_relation=subject.relation or ""
    )


def object_message(reference: graph.ObjectReference) -> ObjectReference:
    return ObjectReference(object_type=reference.type, object_id=reference.id)
