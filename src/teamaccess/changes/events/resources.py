"""Events about resources and grants."""

from datetime import datetime
from typing import ClassVar

from msgspec import UNSET, UnsetType

from teamaccess.changes.events.record import EventDetails, EventKind, Subject
from teamaccess.storage import UserId


class ResourceRegistered(EventDetails):
    """A resource was registered."""

    kind: ClassVar = EventKind.RESOURCE_REGISTERED
    subject: ClassVar = Subject.REFERENCE

    creator: UserId | UnsetType = UNSET


class ResourceUnregistered(EventDetails):
    """A resource was removed."""

    kind: ClassVar = EventKind.RESOURCE_REMOVED
    subject: ClassVar = Subject.REFERENCE


class ResourcesChanged(EventDetails):
    """A batch registered and removed resources."""

    kind: ClassVar = EventKind.RESOURCES_CHANGED
    subject: ClassVar = Subject.ORGANIZATION

    registered: int
    removed: int


class GrantsChanged(EventDetails):
    """The grants on a resource were changed. Each is written with its action, holder and end date."""

    kind: ClassVar = EventKind.GRANTS_CHANGED
    subject: ClassVar = Subject.REFERENCE

    before: list[str]
    after: list[str]


class GrantEnded(EventDetails):
    """A grant on a resource reached its end date."""

    kind: ClassVar = EventKind.GRANT_ENDED
    subject: ClassVar = Subject.REFERENCE

    action: str
    holder: str
    expires_at: datetime | None
