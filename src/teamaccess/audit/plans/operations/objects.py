"""Operations on registered objects and on the grants on them."""

from typing import Annotated

import msgspec

from teamaccess.audit.plans.operations.base import (
    End,
    Id,
    ObjectName,
    OperationContext,
    Proposed,
    UserReference,
)
from teamaccess.changes import OrganizationChange
from teamaccess.directory.resources import register
from teamaccess.directory.resources.find import Key
from teamaccess.directory.resources.grants import (
    GrantKey,
    GrantTwice,
    add_grant,
    remove_grant,
    replace_grants,
)
from teamaccess.directory.users.find import resolve_member
from teamaccess.relationships.relationship import in_utc
from teamaccess.storage import HolderKind, ResourceId


class Grantee(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """An action on an object for one member or one team."""

    action: Id
    user: UserReference | None = None
    team: Id | None = None
    expires_at: End = None

    def __post_init__(self) -> None:
        """Raise ValueError, which msgspec reports as invalid input, for two holders or none."""
        refuse_two_holders(self.user, self.team)
        if self.expires_at is not None:
            in_utc(self.expires_at)


class RegisterObject(Proposed, tag="register_object", frozen=True):
    """An object is registered. Its type may require the creator."""

    object: ObjectName
    creator: UserReference | None = None

    async def make(self, change: OrganizationChange, context: OperationContext) -> None:
        """Register the object."""
        type, id = object_key(self.object)
        creator = None
        if self.creator is not None:
            creator = await resolve_member(change.session, change.organization, self.creator)
        await register.register(change, type, id, creator)


class RemoveObject(Proposed, tag="remove_object", frozen=True):
    """An object is removed, with the grants on it."""

    object: ObjectName

    async def make(self, change: OrganizationChange, context: OperationContext) -> None:
        """Remove the object."""
        await register.remove_resource(change, *object_key(self.object))


class SetGrants(Proposed, tag="set_grants", frozen=True):
    """An object has exactly these grants."""

    object: ObjectName
    grants: Annotated[list[Grantee], msgspec.Meta(max_length=100)]

    async def make(self, change: OrganizationChange, context: OperationContext) -> None:
        """Replace the grants."""
        wanted = {}
        for each in self.grants:
            key = await grant_key(change, each.action, each.user, each.team)
            if key in wanted:
                raise GrantTwice(grant=key)
            wanted[key] = each.expires_at
        await replace_grants(change, object_key(self.object), wanted)


class GrantAction(Proposed, tag="grant", frozen=True, kw_only=True):
    """A member or a team has an action on an object, beside the other grants."""

    object: ObjectName
    action: Id
    user: UserReference | None = None
    team: Id | None = None
    expires_at: End = None

    def __post_init__(self) -> None:
        """Raise ValueError, which msgspec reports as invalid input, for two holders or none."""
        super().__post_init__()
        refuse_two_holders(self.user, self.team)

    async def make(self, change: OrganizationChange, context: OperationContext) -> None:
        """Add the grant."""
        key = await grant_key(change, self.action, self.user, self.team)
        await add_grant(change, object_key(self.object), key, self.expires_at)


class RemoveGrant(Proposed, tag="remove_grant", frozen=True, kw_only=True):
    """A member or a team no longer has a grant on an object."""

    object: ObjectName
    action: Id
    user: UserReference | None = None
    team: Id | None = None

    def __post_init__(self) -> None:
        """Raise ValueError, which msgspec reports as invalid input, for two holders or none."""
        refuse_two_holders(self.user, self.team)

    async def make(self, change: OrganizationChange, context: OperationContext) -> None:
        """Take the grant away."""
        key = await grant_key(change, self.action, self.user, self.team)
        await remove_grant(change, object_key(self.object), key)


def object_key(object: str) -> Key:
    """Return the type and the id of an object."""
    type, _, id = object.partition(":")
    return type, ResourceId(id)


async def grant_key(
    change: OrganizationChange, action: str, user: str | None, team: str | None
) -> GrantKey:
    """Return the grant to a member or a team."""
    if user is None:
        return GrantKey(action, HolderKind.TEAM, str(team))
    member = await resolve_member(change.session, change.organization, user)
    return GrantKey(action, HolderKind.USER, member)


def refuse_two_holders(user: str | None, team: str | None) -> None:
    """Raise ValueError unless exactly one holder is named."""
    if (user is None) == (team is None):
        raise ValueError("A grant must have either `user` or `team`")
