"""What SpiceDB holds, in pages: for who compares or replaces all of it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from authzed.api.v1 import Relationship as RelationshipMessage
from authzed.api.v1 import RelationshipFilter
from authzed.api.v1.permission_service_pb2 import ImportBulkRelationshipsRequest

from teamaccess.engine.convert import fill_message
from teamaccess.relationships import Relationship
from teamaccess.relationships.relationship import format_instant

PAGE = 1000
"""Relationships in one message: even of the longest ids a page stays under gRPC's 4 MiB."""
PAGE_SECONDS = 30.0
"""How long one page may take; how many there are nobody knows before."""
IMPORT = 10_000
"""Relationships in one import. It is one transaction, which Watch tells in one message: even of the
longest ids that stays under gRPC's 4 MiB, which whoever watches takes unless they say otherwise."""
IMPORT_SECONDS = 30.0
"""How long one import may take; SpiceDB ends a stream on which it has said nothing for so long."""


class Objects(NamedTuple):
    """Objects of one type: all of them, one, or those whose ids begin with a prefix."""

    type: str
    id: str = ""
    prefix: str = ""
    relation: str = ""
    """Only what is held through this relation, if it is given."""

    @property
    def filter(self) -> RelationshipFilter:
        """Their relationships, as SpiceDB is asked for them."""
        return RelationshipFilter(
            resource_type=self.type,
            optional_resource_id=self.id,
            optional_resource_id_prefix=self.prefix,
            optional_relation=self.relation,
        )


class StoredRelationship(NamedTuple):
    """A relationship that SpiceDB holds, as text: it may be one that our vocabulary has no place for."""

    resource_id: str
    relation: str
    text: str


def requests_of(relationships: Sequence[Relationship]) -> Iterator[ImportBulkRelationshipsRequest]:
    """Yield the messages of one import, a page each."""
    for start in range(0, len(relationships), PAGE):
        request = ImportBulkRelationshipsRequest()
        for relationship in relationships[start : start + PAGE]:
            fill_message(request.relationships.add(), relationship)
        yield request


def page_of(messages: Iterable[RelationshipMessage]) -> list[StoredRelationship]:
    """Return a page in our text form."""
    return [
        StoredRelationship(message.resource.object_id, message.relation, text_of(message))
        for message in messages
    ]


def text_of(message: RelationshipMessage) -> str:
    """Return the text form, which `Relationship` prints and parses; what it cannot say is marked."""
    resource, subject = message.resource, message.subject
    who, userset = subject.object, subject.optional_relation
    text = (
        f"{resource.object_type}:{resource.object_id}#{message.relation}"
        f"@{who.object_type}:{who.object_id}"
    )
    if userset:
        text = f"{text}#{userset}"
    if message.HasField("optional_caveat"):
        text = f"{text}[{message.optional_caveat.caveat_name}]"
    if message.HasField("optional_expires_at"):
        end = message.optional_expires_at.ToDatetime()
        text = f"{text}[expiration:{format_instant(end)}]"
    return text
