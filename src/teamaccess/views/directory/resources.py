"""Objects, and the grants on each."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from teamaccess.catalog import Catalog
from teamaccess.directory.resources.grants import GrantName
from teamaccess.directory.resources.many_grants import GrantOperation, GrantResult
from teamaccess.directory.resources.register import ResourceOperation, ResourceResult
from teamaccess.storage import Grant, HolderKind, Resource, ResourceId, UserId
from teamaccess.storage.base import LONGEST_LOCAL_ID
from teamaccess.views.request import MOST_IN_BATCH, Request, UserReference, WithExpiry

Id = Annotated[str, Meta(min_length=1, max_length=LONGEST_LOCAL_ID)]

MOST_OPERATIONS = 1000
MOST_GRANTS = 100


class NewResource(Request):
    """An object to register. Its type may require the creator."""

    creator: UserReference | None = None


class ResourceOperationInput(Request):
    """An object to register or remove."""

    operation: Literal["register", "remove"]
    type: Id
    id: Id
    creator: UserReference | None = None

    def __post_init__(self) -> None:
        """Raise ValueError, which makes the body invalid, for a removal that names a creator."""
        if self.operation == "remove" and self.creator is not None:
            raise ValueError("Only an object that is registered can have a creator")

    def resource_operation(self, creator: UserId | None) -> ResourceOperation:
        """Return the operation for the use case, with the id of the creator."""
        remove = self.operation == "remove"
        return ResourceOperation(self.type, ResourceId(self.id), creator, remove=remove)


class ResourceBatch(Request):
    """Objects to register and remove in one change, all or none."""

    items: Annotated[list[ResourceOperationInput], Meta(min_length=1, max_length=MOST_OPERATIONS)]


class ResourceView(msgspec.Struct):
    """A registered object."""

    type: str
    id: str
    creator: str | None
    registered_at: datetime

    @classmethod
    def of(cls, resource: Resource) -> "ResourceView":
        """Return the view of an object."""
        return cls(resource.type, resource.id, resource.creator, resource.registered_at)


class ResourceResultView(msgspec.Struct):
    """The result for one object."""

    type: str
    id: str
    outcome: ResourceResult


class ResourceResultsView(msgspec.Struct):
    """The result for each object, in the order of the request."""

    items: list[ResourceResultView]


class GrantInput(WithExpiry, kw_only=True):
    """A grant of one action or one role to one user or one team."""

    action: Id | UnsetType = UNSET
    role: Id | UnsetType = UNSET
    user: UserReference | UnsetType = UNSET
    team: Id | UnsetType = UNSET

    def __post_init__(self) -> None:
        """Raise ValueError, which makes the body invalid, unless it names one thing and one holder."""
        if (self.action is UNSET) == (self.role is UNSET):
            raise ValueError("A grant must have either `action` or `role`")
        if (self.user is UNSET) == (self.team is UNSET):
            raise ValueError("A grant must have either `user` or `team`")

    @property
    def name(self) -> GrantName:
        """The action or the role that it names."""
        if self.role is not UNSET:
            return GrantName(self.role, is_role=True)
        return GrantName(str(self.action), is_role=False)


class GrantsInput(Request):
    """The grants that replace all grants on an object."""

    grants: Annotated[list[GrantInput], Meta(max_length=MOST_GRANTS)]


class GrantOperationInput(GrantInput, kw_only=True):
    """A grant on an object, to add or to remove."""

    operation: Literal["grant", "remove"]
    type: Id
    id: Id

    def __post_init__(self) -> None:
        """Raise ValueError, which makes the body invalid, for a removal with an expiry."""
        super().__post_init__()
        if self.operation == "remove" and self.expires_at is not None:
            raise ValueError("Only a grant that is added can have an expiry")


class GrantBatch(Request):
    """Grants to change together, all or none."""

    items: Annotated[list[GrantOperationInput], Meta(min_length=1, max_length=MOST_IN_BATCH)]


class GrantResultView(msgspec.Struct):
    """The result for one grant, of an action or of a role."""

    type: str
    id: str
    action: str | None
    role: str | None
    user: str | None
    team: str | None
    outcome: GrantResult

    @classmethod
    def of(cls, operation: GrantOperation, outcome: GrantResult) -> "GrantResultView":
        """Return the view of an operation and its result."""
        (type, id), (name, kind, holder) = operation.on, operation.grant
        action, role = (None, name) if operation.is_role else (name, None)
        user, team = (holder, None) if kind is HolderKind.USER else (None, holder)
        return cls(type, id, action, role, user, team, outcome)


class GrantResultsView(msgspec.Struct):
    """The result for each grant, in the order of the request."""

    items: list[GrantResultView]


class GrantView(msgspec.Struct):
    """A grant on an object: of an action, or of a role with its actions."""

    action: str | None
    role: str | None
    actions: list[str]
    user: str | None
    team: str | None
    expires_at: datetime | None
    granted_at: datetime
    granted_by: str

    @classmethod
    def of(cls, grant: Grant, catalog: Catalog) -> "GrantView":
        """Return the view of a grant."""
        kind = catalog.types.get(grant.type)
        is_role = kind is not None and grant.action in kind.roles
        return cls(
            action=None if is_role else grant.action,
            role=grant.action if is_role else None,
            actions=sorted(kind.actions_granted(grant.action)) if kind is not None else [],
            user=grant.holder if grant.holder_kind == "user" else None,
            team=grant.holder if grant.holder_kind == "team" else None,
            expires_at=grant.expires_at,
            granted_at=grant.granted_at,
            granted_by=grant.granted_by,
        )


class GrantsView(msgspec.Struct):
    """All grants on an object."""

    grants: list[GrantView]
