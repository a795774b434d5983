"""Bulk reads and imports, for comparing or replacing everything that SpiceDB holds."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from authzed.api.v1 import Relationship as RelationshipMessage
from authzed.api.v1 import RelationshipFilter
from authzed.api.v1.permission_service_pb2 import ImportBulkRelationshipsRequest

from teamaccess.engine.client import fill_message
from teamaccess.engine.convert import relationship_text
from teamaccess.relationships import Relationship

PAGE_SIZE = 1000
"""Relationships in one message. Even with the longest ids, a page stays below gRPC's limit of 4 MiB."""
PAGE_SECONDS = 30.0
"""How long one page may take. The number of pages is unknown, so there is no limit for all of them."""
MAX_IMPORT = 10_000
"""Relationships in one import. An import is one transaction, and Watch reports it in one message. Even
with the longest ids, that message stays below 4 MiB, gRPC's default limit for those who watch."""
IMPORT_SECONDS = 30.0
"""How long one import may take. After 30 seconds without a message, SpiceDB ends a stream."""


class ObjectFilter(NamedTuple):
    """Selects objects of one type: all of them, one, or those whose ids begin with a prefix."""

    type: str
    id: str = ""
    prefix: str = ""
    relation: str = ""
    """Selects only relationships of this relation, if given."""

    @property
    def filter(self) -> RelationshipFilter:
        """The filter of their relationships as SpiceDB's message."""
        return RelationshipFilter(
            resource_type=self.type,
            optional_resource_id=self.id,
            optional_resource_id_prefix=self.prefix,
            optional_relation=self.relation,
        )


class StoredRelationship(NamedTuple):
    """A relationship that SpiceDB holds, as text. Our vocabulary may be unable to express it."""

    resource_id: str
    relation: str
    text: str


def import_requests(
    relationships: Sequence[Relationship],
) -> Iterator[ImportBulkRelationshipsRequest]:
    """Yield the messages of one import, one for each page."""
    for start in range(0, len(relationships), PAGE_SIZE):
        request = ImportBulkRelationshipsRequest()
        for relationship in relationships[start : start + PAGE_SIZE]:
            fill_message(request.relationships.add(), relationship)
        yield request


def stored_relationships(messages: Iterable[RelationshipMessage]) -> list[StoredRelationship]:
    """Return the relationships of a page in our text form."""
    return [
        StoredRelationship(message.resource.object_id, message.relation, relationship_text(message))
        for message in messages
    ]
