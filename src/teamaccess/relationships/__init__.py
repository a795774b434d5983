"""The vocabulary of the graph: relationships, their text form, and what changes them. Pure."""

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
    ENDING,
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
    "ENDING",
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
