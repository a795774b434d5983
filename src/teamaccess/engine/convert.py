"""Convert our vocabulary to SpiceDB's messages and back."""

from collections.abc import Iterable
from datetime import UTC

from authzed.api.v1 import (
    Consistency,
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

from teamaccess.relationships import (
    InvalidRelationship,
    ObjectReference,
    Relationship,
    Revocation,
    SubjectReference,
    Update,
)

FULLY_CONSISTENT = Consistency(fully_consistent=True)

MINIMIZE_LATENCY = Consistency(minimize_latency=True)
"""An answer as of a recent revision, which SpiceDB chooses."""


def exact_snapshot(zed_token: str) -> Consistency:
    """Return the consistency of exactly this revision. SpiceDB remembers revisions for a day."""
    return Consistency(at_exact_snapshot=ZedToken(token=zed_token))


def at_least_as_fresh(zed_token: str | None) -> Consistency:
    """Return the consistency of this revision or a later one. Without a token, it is fully consistent."""
    if zed_token is None:
        return FULLY_CONSISTENT
    return Consistency(at_least_as_fresh=ZedToken(token=zed_token))


_DELETE = RelationshipUpdate.OPERATION_DELETE
_TOUCH = RelationshipUpdate.OPERATION_TOUCH


def object_message(reference: ObjectReference) -> ObjectMessage:
    """Return the object as SpiceDB's message."""
    return ObjectMessage(object_type=reference.type, object_id=reference.id)


def subject_message(reference: SubjectReference) -> SubjectMessage:
    """Return the subject as SpiceDB's message."""
    return SubjectMessage(
        object=object_message(reference.object), optional_relation=reference.relation or ""
    )


def relationship_message(relationship: Relationship) -> RelationshipMessage:
    """Return the relationship as SpiceDB's message, with its expiration."""
    message = RelationshipMessage()
    fill_message(message, relationship)
    return message


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
