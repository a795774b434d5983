"""Our vocabulary as SpiceDB's messages, and back."""

from collections.abc import Iterable
from datetime import UTC

from authzed.api.v1 import (
    Consistency,
    RelationshipUpdate,
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
    ObjectReference,
    Relationship,
    Revocation,
    SubjectReference,
    Update,
)

FULLY_CONSISTENT = Consistency(fully_consistent=True)

MINIMIZE_LATENCY = Consistency(minimize_latency=True)
"""An answer as of a recent moment, which SpiceDB chooses."""


def exact_snapshot(zed_token: str) -> Consistency:
    """Return the consistency "as it was at this token", which SpiceDB remembers for a day."""
    return Consistency(at_exact_snapshot=ZedToken(token=zed_token))


def at_least(zed_token: str | None) -> Consistency:
    """Return the consistency "no older than this token"; without one, the newest there is."""
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
    """Return the relationship as SpiceDB's message, with its end."""
    message = RelationshipMessage()
    fill_message(message, relationship)
    return message


def fill_message(message: RelationshipMessage, relationship: Relationship) -> None:
    """Write the relationship into a new message.

    In place: the parts of a message that is made of others are copied, which costs five times as much.
    """
    resource, subject = relationship.resource, relationship.subject
    what, whom = message.resource, message.subject.object
    what.object_type, what.object_id = resource.type, resource.id
    message.relation = relationship.relation
    whom.object_type, whom.object_id = subject.object.type, subject.object.id
    if subject.relation is not None:
        message.subject.optional_relation = subject.relation
    if relationship.expiration is not None:
        message.optional_expires_at.FromDatetime(relationship.expiration)


def write_request(
    updates: Iterable[Update], create: Iterable[Relationship]
) -> WriteRelationshipsRequest:
    """Return a write of TOUCHes and DELETEs, which may be sent again without harm, and of CREATEs.

    SpiceDB refuses it whole when one of those to create is there.
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
