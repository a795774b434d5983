"""The core of SpiceDB's client: questions and writes, always over gRPC."""

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

from authzed.api.v1 import (
    CheckBulkPermissionsRequest,
    CheckBulkPermissionsRequestItem,
    CheckPermissionRequest,
    CheckPermissionResponse,
    Consistency,
    Precondition,
    RelationshipFilter,
    RelationshipUpdate,
    SubjectFilter,
    WriteRelationshipsRequest,
    ZedToken,
)
from authzed.api.v1 import (
    ObjectReference as ObjectMessage,
)
from authzed.api.v1 import (
    Relationship as RelationshipMessage,
)
from authzed.api.v1 import (
    SubjectReference as SubjectMessage,
)
from authzed.api.v1.permission_service_pb2_grpc import PermissionsServiceStub
from authzed.api.v1.schema_service_pb2_grpc import SchemaServiceStub
from grpc.aio import AioRpcError

from teamaccess.engine.channel import channel, proxy_for
from teamaccess.engine.errors import EngineRefused, EngineUnavailable, error_of_bulk_item, translate
from teamaccess.relationships import (
    ObjectReference,
    Relationship,
    Revocation,
    SubjectReference,
    Update,
)

if TYPE_CHECKING:
    from authzed.api.v1.permission_service_pb2_grpc import PermissionsServiceAsyncStub
    from authzed.api.v1.schema_service_pb2_grpc import SchemaServiceAsyncStub

FULLY_CONSISTENT = Consistency(fully_consistent=True)

MINIMIZE_LATENCY = Consistency(minimize_latency=True)
"""An answer as of a recent revision, which SpiceDB chooses."""

_DELETE = RelationshipUpdate.OPERATION_DELETE
_TOUCH = RelationshipUpdate.OPERATION_TOUCH
_YES = CheckPermissionResponse.PERMISSIONSHIP_HAS_PERMISSION

CHECK_SECONDS = 2.0
WRITE_SECONDS = 2.0
SECONDS_AN_UPDATE = 0.005
"""Additional time of a write for each update. 900 deletes take more than a second on a busy engine, and a
write that always ran out of time would never arrive."""


class Question(NamedTuple):
    """The question whether a subject has a permission on a resource, or a relation to it."""

    resource: ObjectReference
    permission: str
    subject: ObjectReference


class Client:
    """A connection to SpiceDB that asks and writes.

    Failures are `EngineUnavailable`, `EngineRefused` or `AlreadyThere`.
    """

    def __init__(
        self, endpoint: str, preshared_key: str, tls_ca: Path | None = None, *, tls: bool = False
    ) -> None:
        self._channel = channel(endpoint, tls_ca, tls=tls)
        self._proxy = proxy_for(endpoint) if tls or tls_ca is not None else None
        self._metadata = (("authorization", f"Bearer {preshared_key}"),)
        # the same stubs serve both kinds of channel, but their types differ
        self._permissions = cast(
            "PermissionsServiceAsyncStub", PermissionsServiceStub(self._channel)
        )
        self._schema = cast("SchemaServiceAsyncStub", SchemaServiceStub(self._channel))

    async def __aenter__(self) -> Self:
        """Return itself. Leaving the block closes the connection."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connection."""
        await self.close()

    async def close(self) -> None:
        """Close the connection. Calls that are under way end."""
        await self._channel.close()

    async def check(
        self,
        resource: ObjectReference,
        permission: str,
        subject: ObjectReference,
        at: Consistency = FULLY_CONSISTENT,
    ) -> bool:
        """Return whether the subject has the permission on the resource (CheckPermission)."""
        response = await self._ask(
            self._permissions.CheckPermission(
                CheckPermissionRequest(
                    consistency=at,
                    resource=object_message(resource),
                    permission=permission,
                    subject=subject_message(SubjectReference(subject)),
                ),
                timeout=CHECK_SECONDS,
                metadata=self._metadata,
            )
        )
        return bool(response.permissionship == _YES)

    async def permitted(
        self,
        resource: ObjectReference,
        permissions: Iterable[str],
        subject: ObjectReference,
        at: Consistency = FULLY_CONSISTENT,
    ) -> frozenset[str]:
        """Return which of the permissions the subject has, all at the same revision."""
        names = sorted(set(permissions))
        questions = [Question(resource, permission, subject) for permission in names]
        answers = await self.answers(questions, at)
        return frozenset(name for name, yes in zip(names, answers, strict=True) if yes)

    async def answers(
        self, questions: Sequence[Question], at: Consistency = FULLY_CONSISTENT
    ) -> list[bool]:
        """Return the answer to each question, all at the same revision (CheckBulkPermissions).

        Raises SchemaMismatch for a permission that the schema does not have.
        """
        if not questions:
            return []
        response = await self._ask(
            self._permissions.CheckBulkPermissions(
                CheckBulkPermissionsRequest(
                    consistency=at,
                    items=[
                        CheckBulkPermissionsRequestItem(
                            resource=object_message(question.resource),
                            permission=question.permission,
                            subject=subject_message(SubjectReference(question.subject)),
                        )
                        for question in questions
                    ],
                ),
                timeout=CHECK_SECONDS,
                metadata=self._metadata,
            )
        )
        for pair in response.pairs:
            if pair.HasField("error"):
                raise error_of_bulk_item(pair.request.permission, pair.error)
        return [pair.item.permissionship == _YES for pair in response.pairs]

    async def write(
        self,
        updates: Sequence[Update],
        create: Sequence[Relationship] = (),
        metadata: Mapping[str, Any] | None = None,
        seconds: float | None = None,
        only_if: Relationship | None = None,
    ) -> str:
        """Write everything or nothing, and return the ZedToken of the write.

        It may take `seconds`. By default, larger writes get more time.

        Raises AlreadyThere if a relationship of `create` exists, and NotThere if the relationship
        `only_if` does not exist. Then nothing was written.
        """
        request = write_request(updates, create)
        if only_if is not None:
            request.optional_preconditions.add(
                operation=Precondition.OPERATION_MUST_MATCH, filter=filter_of(only_if)
            )
        request.optional_transaction_metadata.update(metadata or {})
        response = await self._call(
            self._permissions.WriteRelationships(
                request,
                timeout=WRITE_SECONDS + SECONDS_AN_UPDATE * len(updates)
                if seconds is None
                else seconds,
                metadata=self._metadata,
            )
        )
        return str(response.written_at.token)

    async def _ask(self, question: Awaitable[Any]) -> Any:
        """Return SpiceDB's answer to a question. SECURITY: any failure is an outage and never a yes."""
        try:
            return await self._call(question)
        except EngineRefused as refused:
            raise no_answer(refused) from refused

    async def _call(self, call: Awaitable[Any]) -> Any:
        try:
            return await call
        except AioRpcError as error:
            raise translate(error, self._proxy) from error


def exact_snapshot(zed_token: str) -> Consistency:
    """Return the consistency of exactly this revision. SpiceDB remembers revisions for a day."""
    return Consistency(at_exact_snapshot=ZedToken(token=zed_token))


def at_least_as_fresh(zed_token: str | None) -> Consistency:
    """Return the consistency of this revision or a later one. Without a token, it is fully consistent."""
    if zed_token is None:
        return FULLY_CONSISTENT
    return Consistency(at_least_as_fresh=ZedToken(token=zed_token))


def object_message(reference: ObjectReference) -> ObjectMessage:
    """Return the object as SpiceDB's message."""
    return ObjectMessage(object_type=reference.type, object_id=reference.id)


def subject_message(reference: SubjectReference) -> SubjectMessage:
    """Return the subject as SpiceDB's message."""
    return SubjectMessage(
        object=object_message(reference.object), optional_relation=reference.relation or ""
    )


def filter_of(relationship: Relationship) -> RelationshipFilter:
    """Return the filter for this relationship, with any expiration."""
    subject = relationship.subject
    return RelationshipFilter(
        resource_type=relationship.resource.type,
        optional_resource_id=relationship.resource.id,
        optional_relation=relationship.relation,
        optional_subject_filter=SubjectFilter(
            subject_type=subject.object.type,
            optional_subject_id=subject.object.id,
            optional_relation=SubjectFilter.RelationFilter(relation=subject.relation or ""),
        ),
    )


def write_request(
    updates: Iterable[Update], create: Iterable[Relationship]
) -> WriteRelationshipsRequest:
    """Return a write of TOUCHes and DELETEs, which are safe to repeat, and of CREATEs.

    SpiceDB refuses the whole write if a relationship of `create` exists.
    """
    request = WriteRelationshipsRequest()
    for update in updates:
        message = request.updates.add()
        message.operation = _DELETE if isinstance(update, Revocation) else _TOUCH
        fill_message(message.relationship, update.relationship)
    for relationship in create:
        message = request.updates.add()
        message.operation = RelationshipUpdate.OPERATION_CREATE
        fill_message(message.relationship, relationship)
    return request


def fill_message(message: RelationshipMessage, relationship: Relationship) -> None:
    """Write the relationship into an empty message.

    Filling in place avoids the copies that a message composed of other messages makes. Those cost five
    times as much.
    """
    resource, subject = relationship.resource, relationship.subject
    to_resource, to_subject = message.resource, message.subject.object
    to_resource.object_type, to_resource.object_id = resource.type, resource.id
    message.relation = relationship.relation
    to_subject.object_type, to_subject.object_id = subject.object.type, subject.object.id
    if subject.relation is not None:
        message.subject.optional_relation = subject.relation
    if relationship.expiration is not None:
        message.optional_expires_at.FromDatetime(relationship.expiration)


def no_answer(failure: Exception) -> Exception:
    """Return the failure of a question. A refused question counts as unanswered."""
    return EngineUnavailable(cause=failure) if isinstance(failure, EngineRefused) else failure
