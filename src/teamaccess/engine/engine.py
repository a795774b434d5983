"""The client of SpiceDB: questions and writes, and also reads, lookups, the schema and Watch."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any, cast

from authzed.api.v1 import (
    Consistency,
    DeleteRelationshipsRequest,
    DeleteRelationshipsResponse,
    LookupResourcesRequest,
    LookupSubjectsRequest,
    ReadRelationshipsRequest,
    ReadSchemaRequest,
    RelationshipFilter,
    WriteSchemaRequest,
)
from authzed.api.v1.permission_service_pb2 import ExportBulkRelationshipsRequest
from authzed.api.v1.schema_service_pb2 import DiffSchemaRequest
from grpc import StatusCode
from grpc.aio import AioRpcError

from teamaccess.engine.bulk import (
    IMPORT_SECONDS,
    PAGE_SECONDS,
    PAGE_SIZE,
    ObjectFilter,
    StoredRelationship,
    import_requests,
    stored_relationships,
)
from teamaccess.engine.client import (
    CHECK_SECONDS,
    FULLY_CONSISTENT,
    Client,
    filter_of,
    no_answer,
    object_message,
    subject_message,
)
from teamaccess.engine.convert import relationship_from_message
from teamaccess.engine.errors import EngineUnavailable, translate
from teamaccess.engine.version import read_version
from teamaccess.engine.watch import ObservedWrite, watch
from teamaccess.relationships import ObjectReference, Relationship, SubjectReference

LOOKUP_SECONDS = 2.0
LOOKUP_ALL_SECONDS = 60.0
"""How long a lookup of all subjects may take. There may be a hundred thousand of them."""
COMPLETE = DeleteRelationshipsResponse.DELETION_PROGRESS_COMPLETE


class Engine(Client):
    """A connection to SpiceDB, with everything that the product does there."""

    async def version(self) -> str | None:
        """Return SpiceDB's version, such as `1.57.1`; None if SpiceDB is configured to hide it."""
        return await read_version(self._schema, self._metadata)

    async def import_relationships(self, relationships: Sequence[Relationship]) -> None:
        """Create all of the relationships or none. At most `MAX_IMPORT` are allowed.

        It is faster than a write, but Watch reports it without metadata. Raises AlreadyThere if one of
        the relationships exists.
        """
        await self._call(
            self._permissions.ImportBulkRelationships(
                import_requests(relationships), timeout=IMPORT_SECONDS, metadata=self._metadata
            )
        )

    async def read(
        self,
        relationship_filter: RelationshipFilter,
        at: Consistency = FULLY_CONSISTENT,
        seconds: float | None = None,
    ) -> AsyncIterator[tuple[Relationship, str]]:
        """Yield the relationships that SpiceDB holds, each with the ZedToken at which it was read.

        It may take `seconds`. By default there is no limit.
        """
        call = self._permissions.ReadRelationships(
            ReadRelationshipsRequest(consistency=at, relationship_filter=relationship_filter),
            timeout=seconds,
            metadata=self._metadata,
        )
        try:
            async for response in call:
                yield relationship_from_message(response.relationship), response.read_at.token
        except AioRpcError as error:
            raise translate(error, self._proxy) from error

    async def find_zed_token(self, relationship: Relationship) -> str | None:
        """Return a ZedToken at which SpiceDB holds the relationship, None if it does not hold it."""
        held = self.read(filter_of(relationship), seconds=CHECK_SECONDS)
        return await anext((token async for _, token in held), None)

    async def find(
        self, relationship: Relationship, at: Consistency = FULLY_CONSISTENT
    ) -> Relationship | None:
        """Return the relationship as SpiceDB holds it, perhaps with another expiration, or None."""
        held = self.read(filter_of(relationship), at, seconds=CHECK_SECONDS)
        return await anext((found async for found, _ in held), None)

    async def has_any(self, resource: ObjectReference, relation: str) -> bool:
        """Return whether any subject has the relation to the resource."""
        held = self.read(
            RelationshipFilter(
                resource_type=resource.type,
                optional_resource_id=resource.id,
                optional_relation=relation,
            ),
            seconds=CHECK_SECONDS,
        )
        return await anext((True async for _ in held), False)

    async def export(self, objects: ObjectFilter) -> AsyncGenerator[list[StoredRelationship]]:
        """Yield all relationships of the objects at one revision, in the order of the objects' ids.

        They come in pages, so that reading is fast and takes little memory.
        """
        call = self._permissions.ExportBulkRelationships(
            ExportBulkRelationshipsRequest(
                consistency=FULLY_CONSISTENT,
                optional_limit=PAGE_SIZE,
                optional_relationship_filter=objects.filter,
            ),
            metadata=self._metadata,
        )
        try:
            while page := cast("Any", await asyncio.wait_for(call.read(), PAGE_SECONDS)):
                yield stored_relationships(page.relationships)
        except AioRpcError as error:
            raise no_answer(translate(error, self._proxy)) from error
        except TimeoutError as silence:
            raise EngineUnavailable(cause="it stopped sending what it holds") from silence
        finally:
            call.cancel()

    async def delete(self, objects: ObjectFilter, metadata: Mapping[str, Any]) -> int:
        """Delete all relationships of the objects, page by page. Return how many there were."""
        deleted = 0
        request = DeleteRelationshipsRequest(
            relationship_filter=objects.filter,
            optional_limit=PAGE_SIZE,
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
            if response.deletion_progress == COMPLETE:
                return deleted

    async def lookup_resources(
        self,
        resource_type: str,
        permission: str,
        subject: ObjectReference,
        at: Consistency = FULLY_CONSISTENT,
        seconds: float = LOOKUP_SECONDS,
    ) -> AsyncIterator[str]:
        """Yield the id of each resource on which the subject has the permission (LookupResources)."""
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
            raise no_answer(translate(error, self._proxy)) from error

    async def lookup_subjects(
        self,
        resource: ObjectReference,
        permission: str,
        subject_type: str,
        at: Consistency = FULLY_CONSISTENT,
    ) -> AsyncIterator[str]:
        """Yield the id of each subject of the type that has the permission (LookupSubjects)."""
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
            raise no_answer(translate(error, self._proxy)) from error

    def watch(self, since: str | None = None) -> AsyncIterator[ObservedWrite]:
        """Yield every write after the ZedToken `since`, by default from now on (Watch)."""
        return watch(self._channel, self._metadata, since)

    async def write_schema(self, text: str) -> str:
        """Replace the schema, and return the ZedToken of the write."""
        request = self._schema.WriteSchema(
            WriteSchemaRequest(schema=text), timeout=30.0, metadata=self._metadata
        )
        return str((await self._call(request)).written_at.token)

    async def has_schema(self) -> bool:
        """Return whether SpiceDB has any schema. A new SpiceDB has none."""
        call = self._schema.ReadSchema(
            ReadSchemaRequest(), timeout=CHECK_SECONDS, metadata=self._metadata
        )
        try:
            await call
        except AioRpcError as error:
            if error.code() is StatusCode.NOT_FOUND:
                return False
            raise no_answer(translate(error, self._proxy)) from error
        return True

    async def schema_differences(
        self, schema: str, at: Consistency = FULLY_CONSISTENT, seconds: float = CHECK_SECONDS
    ) -> list[str]:
        """Return the kinds of differences between SpiceDB's schema and this one, without comments.

        `at` may be an earlier revision, as long as SpiceDB still remembers it.
        """
        response = await self._ask(
            self._schema.DiffSchema(  # type: ignore[attr-defined]  # its stubs lack it
                DiffSchemaRequest(comparison_schema=schema, consistency=at),
                timeout=seconds,
                metadata=self._metadata,
            )
        )
        kinds = [str(diff.WhichOneof("diff")) for diff in response.diffs]
        return [kind for kind in kinds if not kind.endswith("doc_comment_changed")]
