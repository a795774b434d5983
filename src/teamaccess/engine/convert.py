"""Our vocabulary as SpiceDB's messages, and back."""

from datetime import UTC, datetime

from authzed.api.v1 import (
    ObjectReference as ObjectMessage,
)
from authzed.api.v1 import (
    Relationship as RelationshipMessage,
)
from authzed.api.v1 import (
    RelationshipUpdate,
)
from authzed.api.v1 import (
    SubjectReference as SubjectMessage,
)
from google.protobuf.timestamp_pb2 import Timestamp

from teamaccess.relationships import (
    ObjectReference,
    Relationship,
    Revocation,
    SubjectReference,
    Update,
)


def timestamp(at: datetime) -> Timestamp:
    """Return the time as protobuf's."""
    message = Timestamp()
    message.FromDatetime(at)
    return message


def object_message(reference: ObjectReference) -> ObjectMessage:
    """Return the object as SpiceDB's message."""
    return ObjectMessage(object_type=reference.type, object_id=reference.id)


def subject_message(reference: SubjectReference) -> SubjectMessage:
    """Return the subject as SpiceDB's message."""
    return SubjectMessage(
        object=object_message(reference.object), optional_relation=reference.relation or ""
    )


def relationship_message(relationship: Relationship) -> RelationshipMessage:
    """Return the relationship as SpiceDB's message, with its end."""
    until = relationship.expiration
    return RelationshipMessage(
        resource=object_message(relationship.resource),
        relation=relationship.relation,
        subject=subject_message(relationship.subject),
        optional_expires_at=None if until is None else timestamp(until),
    )


def update_message(update: Update) -> RelationshipUpdate:
    """Return a TOUCH or a DELETE; both may be sent again without harm."""
    operation = (
        RelationshipUpdate.OPERATION_DELETE
        if isinstance(update, Revocation)
        else RelationshipUpdate.OPERATION_TOUCH
    )
    return RelationshipUpdate(
        operation=operation, relationship=relationship_message(update.relationship)
    )


def create_message(relationship: Relationship) -> RelationshipUpdate:
    """Return a CREATE, which SpiceDB refuses when the relationship is there."""
    return RelationshipUpdate(
        operation=RelationshipUpdate.OPERATION_CREATE,
        relationship=relationship_message(relationship),
    )


def relationship_of(message: RelationshipMessage) -> Relationship:
    """Return what SpiceDB holds in our vocabulary."""
    subject = message.subject
    return Relationship(
        ObjectReference(message.resource.object_type, message.resource.object_id),
        message.relation,
        SubjectReference(
            ObjectReference(subject.object.object_type, subject.object.object_id),
            subject.optional_relation or None,
        ),
        message.optional_expires_at.ToDatetime(UTC)
        if message.HasField("optional_expires_at")
        else None,
    )
