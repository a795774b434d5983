"""The one place that speaks to SpiceDB: checks, writes, reads, the schema. Always gRPC."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

from authzed.api.v1 import (
    CheckBulkPermissionsRequest,
    CheckBulkPermissionsRequestItem,
    CheckPermissionRequest,
    CheckPermissionResponse,
    Consistency,
    DeleteRelationshipsRequest,
    DeleteRelationshipsResponse,
    LookupResourcesRequest,
    LookupSubjectsRequest,
    ReadRelationshipsRequest,
    ReadSchemaRequest,
    RelationshipFilter,
    SubjectFilter,
    WriteSchemaRequest,
)
from authzed.api.v1.permission_service_pb2 import ExportBulkRelationshipsRequest
from authzed.api.v1.permission_service_pb2_grpc import PermissionsServiceStub
from authzed.api.v1.schema_service_pb2 import DiffSchemaRequest
from authzed.api.v1.schema_service_pb2_grpc import SchemaServiceStub
from grpc import StatusCode
from grpc.aio import AioRpcError

from teamaccess.engine.bulk import (
    IMPORT_SECONDS,
    PAGE,
    PAGE_SECONDS,
    Objects,
    StoredRelationship,
    page_of,
    requests_of,
)
from teamaccess.engine.channel import channel
from teamaccess.engine.convert import (
    FULLY_CONSISTENT,
    object_message,
    relationship_of,
    subject_message,
    write_request,
)
from teamaccess.engine.errors import EngineRefused, EngineUnavailable, translate, unanswered
from teamaccess.engine.watch import Observed, watch
from teamaccess.relationships import ObjectReference, Relationship, SubjectReference, Update

if TYPE_CHECKING:
    from authzed.api.v1.permission_service_pb2_grpc import PermissionsServiceAsyncStub
    from authzed.api.v1.schema_service_pb2_grpc import SchemaServiceAsyncStub

CHECK_SECONDS = 2.0
LOOKUP_SECONDS = 2.0
LOOKUP_ALL_SECONDS = 60.0
"""For a question about everybody, of whom there may be a hundred thousand."""
WRITE_SECONDS = 2.0
SECONDS_AN_UPDATE = 0.005
"""What a large write may take beyond that: 900 deletes take more than a second where the engine is busy.
One that ran out of time every time would never arrive."""


class Question(NamedTuple):
    """Whether a subject has a permission, or a relation, to a resource."""

    resource: ObjectReference
    permission: str
    subject: ObjectReference


class Engine:
    """A connection to SpiceDB. Failures are `EngineUnavailable`, `EngineRefused` or `AlreadyThere`."""

    def __init__(
        self, endpoint: str, preshared_key: str, tls_ca: Path | None = None, *, tls: bool = False
    ) -> None:
        self._channel = channel(endpoint, tls_ca, tls=tls)
        self._metadata = (("authorization", f"Bearer {preshared_key}"),)
        # the same stubs serve both kinds of channel; only their types come in two
        self._permissions = cast(
            "PermissionsServiceAsyncStub", PermissionsServiceStub(self._channel)
        )
        self._schema = cast("SchemaServiceAsyncStub", SchemaServiceStub(self._channel))

    async def __aenter__(self) -> Self:
        """Return itself; leaving closes the connection."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connection."""
        await self.close()

    async def close(self) -> None:
        """Close the connection; calls under way end."""
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
        """Return which of the permissions the subject has, all judged at one revision."""
        asked = sorted(set(permissions))
        questions = [Question(resource, permission, subject) for permission in asked]
        answers = await self.answers(questions, at)
        return frozenset(each for each, answer in zip(asked, answers, strict=True) if answer)

    async def answers(
        self, questions: Sequence[Question], at: Consistency = FULLY_CONSISTENT
    ) -> list[bool]:
        """Return yes or no to each question, all judged at one revision (CheckBulkPermissions).

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
                raise unanswered(pair.request.permission, pair.error)
        return [pair.item.permissionship == _YES for pair in response.pairs]

    async def write(
        self,
        updates: Sequence[Update],
        create: Sequence[Relationship] = (),
        metadata: Mapping[str, Any] | None = None,
        seconds: float | None = None,
    ) -> str:
        """Write all or nothing, and return the ZedToken at which it holds.

        It may take `seconds`, by default the longer the more there is to write.

        Raises `AlreadyThere` when one of `create` is there: then nothing of this call was written.
        """
        request = write_request(updates, create)
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

    async def import_(self, relationships: Sequence[Relationship]) -> None:
        """Create them all, at most `IMPORT` of them, in less time than writing takes, or none.

        Watch tells of it without a word of who did it. Raises `AlreadyThere` when one of them is there.
        """
        await self._call(
            self._permissions.ImportBulkRelationships(
                requests_of(relationships), timeout=IMPORT_SECONDS, metadata=self._metadata
            )
        )

    async def read(
        self,
        relationship_filter: RelationshipFilter,
        at: Consistency = FULLY_CONSISTENT,
        seconds: float | None = None,
    ) -> AsyncIterator[tuple[Relationship, str]]:
        """Yield what SpiceDB holds, each with the ZedToken at which it was read.

        It may take `seconds`, by default as long as there is something to read.
        """
        call = self._permissions.ReadRelationships(
            ReadRelationshipsRequest(consistency=at, relationship_filter=relationship_filter),
            timeout=seconds,
            metadata=self._metadata,
        )
        try:
            async for response in call:
                yield relationship_of(response.relationship), response.read_at.token
        except AioRpcError as error:
            raise translate(error) from error

    async def find(self, relationship: Relationship) -> str | None:
        """Return a ZedToken at which SpiceDB holds the relationship, None if it does not."""
        subject = relationship.subject
        held = self.read(
            RelationshipFilter(
                resource_type=relationship.resource.type,
                optional_resource_id=relationship.resource.id,
                optional_relation=relationship.relation,
                optional_subject_filter=SubjectFilter(
                    subject_type=subject.object.type, optional_subject_id=subject.object.id
                ),
            ),
            seconds=CHECK_SECONDS,
        )
        return await anext((token async for _, token in held), None)

    async def any(self, resource: ObjectReference, relation: str) -> bool:
        """Return whether anything at all has the relation to the resource."""
        held = self.read(
            RelationshipFilter(
                resource_type=resource.type,
                optional_resource_id=resource.id,
                optional_relation=relation,
            ),
            seconds=CHECK_SECONDS,
        )
        return await anext((True async for _ in held), False)

    async def export(self, objects: Objects) -> AsyncGenerator[list[StoredRelationship]]:
        """Yield all that SpiceDB holds of the objects at one revision, in the order of their ids.

        In pages, so that it takes little time for each relationship and little memory for all.
        """
        call = self._permissions.ExportBulkRelationships(
            ExportBulkRelationshipsRequest(
                consistency=FULLY_CONSISTENT,
                optional_limit=PAGE,
                optional_relationship_filter=objects.filter,
            ),
            metadata=self._metadata,
        )
        try:
            while page := cast("Any", await asyncio.wait_for(call.read(), PAGE_SECONDS)):
                yield page_of(page.relationships)
        except AioRpcError as error:
            raise _no_answer(translate(error)) from error
        except TimeoutError as silence:
            raise EngineUnavailable(cause="it stopped telling what it holds") from silence
        finally:
            call.cancel()

    async def delete(self, objects: Objects, metadata: Mapping[str, Any]) -> int:
        """Delete all that SpiceDB holds of the objects, a page at a time; return how much it was."""
        deleted = 0
        request = DeleteRelationshipsRequest(
            relationship_filter=objects.filter,
            optional_limit=PAGE,
            optional_allow_partial_deletions=True,
        )
        request.optional_transaction_metadata.update(metadata)
        while True:
            response = await self._call(
                self._permissions.DeleteRelationships(
                    request, timeout=PAGE_SECONDS, metadata=self._metadata
                )
            )
            deleted += int(response.relationships_deleted_count)
            if response.deletion_progress == _COMPLETE:
                return deleted

    async def lookup(
        self,
        resource_type: str,
        permission: str,
        subject: ObjectReference,
        at: Consistency = FULLY_CONSISTENT,
        seconds: float = LOOKUP_SECONDS,
    ) -> AsyncIterator[str]:
        """Yield the ids of every resource on which the subject has the permission, each once."""
        call = self._permissions.LookupResources(
            LookupResourcesRequest(
                consistency=at,
                resource_object_type=resource_type,
                permission=permission,
                subject=subject_message(SubjectReference(subject)),
            ),
            timeout=seconds,
            metadata=self._metadata,
        )
        try:
            async for response in call:
                yield response.resource_object_id
        except AioRpcError as error:
            raise _no_answer(translate(error)) from error

    async def subjects(
        self,
        resource: ObjectReference,
        permission: str,
        subject_type: str,
        at: Consistency = FULLY_CONSISTENT,
    ) -> AsyncIterator[str]:
        """Yield the ids of every subject of a type that has the permission (LookupSubjects)."""
        call = self._permissions.LookupSubjects(
            LookupSubjectsRequest(
                consistency=at,
                resource=object_message(resource),
                permission=permission,
                subject_object_type=subject_type,
            ),
            timeout=LOOKUP_ALL_SECONDS,
            metadata=self._metadata,
        )
        try:
            async for response in call:
                yield response.subject.subject_object_id
        except AioRpcError as error:
            raise _no_answer(translate(error)) from error

    def watch(self, since: str | None = None) -> AsyncIterator[Observed]:
        """Yield every write after the token, or from now on (Watch)."""
        return watch(self._channel, self._metadata, since)

    async def write_schema(self, text: str) -> str:
        """Replace the schema, and return the ZedToken at which it holds."""
        request = self._schema.WriteSchema(
            WriteSchemaRequest(schema=text), timeout=30.0, metadata=self._metadata
        )
        return str((await self._call(request)).written_at.token)

    async def has_schema(self) -> bool:
        """Return whether SpiceDB has any schema; a new one has none."""
        reading = self._schema.ReadSchema(
            ReadSchemaRequest(), timeout=CHECK_SECONDS, metadata=self._metadata
        )
        try:
            await reading
        except AioRpcError as error:
            if error.code() is StatusCode.NOT_FOUND:
                return False
            raise _no_answer(translate(error)) from error
        return True

    async def lacks(
        self, schema: str, at: Consistency = FULLY_CONSISTENT, seconds: float = CHECK_SECONDS
    ) -> list[str]:
        """Return how SpiceDB's schema differs from this one, comments aside; empty when it does not.

        `at` may be the exact snapshot of an earlier moment, as long as SpiceDB still remembers it.
        """
        response = await self._ask(
            self._schema.DiffSchema(  # type: ignore[attr-defined]  # its stubs leave it out
                DiffSchemaRequest(comparison_schema=schema, consistency=at),
                timeout=seconds,
                metadata=self._metadata,
            )
        )
        kinds = [str(diff.WhichOneof("diff")) for diff in response.diffs]
        return [kind for kind in kinds if not kind.endswith("doc_comment_changed")]

    async def _ask(self, question: Awaitable[Any]) -> Any:
        """A question that SpiceDB cannot answer, for whatever reason, is not answered with yes."""
        try:
            return await self._call(question)
        except EngineRefused as refused:
            raise _no_answer(refused) from refused

    async def _call(self, call: Awaitable[Any]) -> Any:
        try:
            return await call
        except AioRpcError as error:
            raise translate(error) from error


_YES = CheckPermissionResponse.PERMISSIONSHIP_HAS_PERMISSION
_COMPLETE = DeleteRelationshipsResponse.DELETION_PROGRESS_COMPLETE


def _no_answer(failure: Exception) -> Exception:
    """Return what a question's failure is: one that is refused is not answered either."""
    return EngineUnavailable(cause=failure) if isinstance(failure, EngineRefused) else failure
