"""Convert relationships to SpiceDB's messages and back."""

from datetime import UTC

from authzed.api.v1 import Relationship as RelationshipMessage
from google.protobuf.timestamp_pb2 import Timestamp

from teamaccess.engine.client import fill_message
from teamaccess.relationships import (
    InvalidRelationship,
    ObjectReference,
    Relationship,
    SubjectReference,
)
from teamaccess.relationships.relationship import format_instant


def relationship_message(relationship: Relationship) -> RelationshipMessage:
    """Return the relationship as SpiceDB's message, with its expiration."""
    message = RelationshipMessage()
    fill_message(message, relationship)
    return message


def relationship_from_message(message: RelationshipMessage) -> Relationship:
    """Return the relationship of a message. Raises InvalidRelationship if we cannot express it."""
    if message.HasField("optional_caveat"):
        raise InvalidRelationship("our schemas have no caveats")
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


def relationship_text(message: RelationshipMessage) -> str:
    """Return the text form of `Relationship`, with a caveat in brackets if there is one."""
    resource, subject = message.resource, message.subject
    subject_object, userset = subject.object, subject.optional_relation
    text = (
        f"{resource.object_type}:{resource.object_id}#{message.relation}"
        f"@{subject_object.object_type}:{subject_object.object_id}"
    )
    if userset:
        text = f"{text}#{userset}"
    if message.HasField("optional_caveat"):
        text = f"{text}[{message.optional_caveat.caveat_name}]"
    if message.HasField("optional_expires_at"):
        text = f"{text}[expiration:{_instant_text(message.optional_expires_at)}]"
    return text


def _instant_text(instant: Timestamp) -> str:
    """Return the time as text, as seconds since 1970 if it is out of range."""
    try:
        return format_instant(instant.ToDatetime())
    except (ValueError, OverflowError):
        return str(instant.seconds)
