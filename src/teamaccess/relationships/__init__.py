"""The vocabulary of the graph: relationships, their text form, and updates of them. It is pure."""

from teamaccess.relationships.changes import difference, replay
from teamaccess.relationships.errors import InvalidRelationship, ReplayConflict
from teamaccess.relationships.names import (
    email,
    invitation,
    ledger_position,
    organization,
    role,
    team,
    user,
)
from teamaccess.relationships.relationship import (
    EXPIRATION_PREFIX,
    ObjectReference,
    Relationship,
    SubjectReference,
)
from teamaccess.relationships.updates import (
    Delete,
    Purge,
    Restore,
    Revocation,
    Touch,
    Update,
    parse_update,
)

__all__ = [
    "EXPIRATION_PREFIX",
    "Delete",
    "InvalidRelationship",
    "ObjectReference",
    "Purge",
    "Relationship",
    "ReplayConflict",
    "Restore",
    "Revocation",
    "SubjectReference",
    "Touch",
    "Update",
    "difference",
    "email",
    "invitation",
    "ledger_position",
    "organization",
    "parse_update",
    "replay",
    "role",
    "team",
    "user",
]
