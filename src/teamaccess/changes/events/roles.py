"""Events about custom roles and teams."""

from datetime import datetime
from typing import ClassVar

from msgspec import UNSET, UnsetType

from teamaccess.changes.events.record import EventDetails, EventKind, Subject
from teamaccess.storage import RoleId, TeamId


class RoleCreated(EventDetails):
    """A custom role was created, perhaps as a clone."""

    kind: ClassVar = EventKind.ROLE_CREATED
    subject: ClassVar = Subject.ROLE

    actions: list[str]
    clone_of: RoleId | UnsetType = UNSET


class RoleChanged(EventDetails):
    """The actions or the name of a custom role were changed."""

    kind: ClassVar = EventKind.ROLE_CHANGED
    subject: ClassVar = Subject.ROLE

    added: list[str]
    removed: list[str]
    renamed: bool


class RoleDeleted(EventDetails):
    """A custom role was deleted. The numbers count what held, offered or requested it."""

    kind: ClassVar = EventKind.ROLE_DELETED
    subject: ClassVar = Subject.ROLE

    actions: list[str]
    instead: RoleId | None
    members: int
    teams: int
    invitations: int
    access_requests: int


class TeamCreated(EventDetails):
    """A team was created."""

    kind: ClassVar = EventKind.TEAM_CREATED
    subject: ClassVar = Subject.TEAM

    name: str


class TeamRenamed(EventDetails):
    """A team was given another name."""

    kind: ClassVar = EventKind.TEAM_RENAMED
    subject: ClassVar = Subject.TEAM

    name: str


class TeamRolesChanged(EventDetails):
    """The roles of a team, or their end dates, were changed."""

    kind: ClassVar = EventKind.TEAM_ROLES_CHANGED
    subject: ClassVar = Subject.TEAM

    before: list[RoleId]
    after: list[RoleId]
    ends: dict[RoleId, datetime]


class TeamRoleEnded(EventDetails):
    """A role of a team reached its end date."""

    kind: ClassVar = EventKind.TEAM_ROLE_ENDED
    subject: ClassVar = Subject.TEAM

    role: RoleId
    expires_at: datetime | None


class TeamDeleted(EventDetails):
    """A team was deleted."""

    kind: ClassVar = EventKind.TEAM_DELETED
    subject: ClassVar = Subject.TEAM

    name: str
    roles: list[RoleId]


class TeamMemberAdded(EventDetails):
    """A member was added to a team."""

    kind: ClassVar = EventKind.TEAM_MEMBER_ADDED
    subject: ClassVar = Subject.USER

    team: TeamId
    expires_at: datetime | None


class TeamMemberChanged(EventDetails):
    """The end date of a member's place in a team was changed."""

    kind: ClassVar = EventKind.TEAM_MEMBER_CHANGED
    subject: ClassVar = Subject.USER

    team: TeamId
    expires_at: datetime | None


class TeamMemberRemoved(EventDetails):
    """A member was removed from a team by somebody else."""

    kind: ClassVar = EventKind.TEAM_MEMBER_REMOVED
    subject: ClassVar = Subject.USER

    team: TeamId


class TeamLeft(EventDetails):
    """A member left a team."""

    kind: ClassVar = EventKind.TEAM_LEFT
    subject: ClassVar = Subject.USER

    team: TeamId


class TeamPlaceEnded(EventDetails):
    """A member's place in a team reached its end date."""

    kind: ClassVar = EventKind.TEAM_PLACE_ENDED
    subject: ClassVar = Subject.USER

    team: TeamId
    expires_at: datetime | None
