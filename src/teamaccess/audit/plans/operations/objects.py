"""Operations on registered objects and on the grants on them."""

from typing import Annotated

import msgspec

from teamaccess.audit.plans.operations.base import (
    End,
    LocalId,
    ObjectReference,
    PlanContext,
    Proposed,
    UserReference,
    find_user_id,
)
from teamaccess.changes import OrganizationChange
from teamaccess.directory.resources import register
from teamaccess.directory.resources.find import ResourceKey
from teamaccess.directory.resources.grant_rows import GrantKey
from teamaccess.directory.resources.grants import (
    GrantName,
    GrantTwice,
    add_grant,
    remove_grant,
    replace_grants,
)
from teamaccess.storage import HolderKind, ResourceId


class ProposedGrant(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """An action or a role on an object for one member or one team."""

    action: LocalId | None = None
    role: LocalId | None = None
    user: UserReference | None = None
    team: LocalId | None = None
    expires_at: End = None

    def __post_init__(self) -> None:
        """Raise ValueError, which msgspec reports as invalid input, for an ambiguous grant."""
        refuse_ambiguous(self.action, self.role, self.user, self.team)


class RegisterObject(Proposed, tag="register_object", frozen=True):
    """An object is registered. Its type may require the creator."""

    object: ObjectReference
    creator: UserReference | None = None

    async def make(self, change: OrganizationChange, context: PlanContext) -> None:
        """Register the object."""
        type, id = object_key(self.object)
        creator = None
        if self.creator is not None:
            creator = await find_user_id(change, self.creator)
        await register.register(change, type, id, creator)


class RemoveObject(Proposed, tag="remove_object", frozen=True):
    """An object is removed, with the grants on it."""

    object: ObjectReference

    async def make(self, change: OrganizationChange, context: PlanContext) -> None:
        """Remove the object."""
        await register.remove_resource(change, *object_key(self.object))


class SetGrants(Proposed, tag="set_grants", frozen=True):
    """An object has exactly these grants."""

    object: ObjectReference
    grants: Annotated[list[ProposedGrant], msgspec.Meta(max_length=100)]

    async def make(self, change: OrganizationChange, context: PlanContext) -> None:
        """Replace the grants."""
        wanted, names = {}, []
        for each in self.grants:
            name = grant_name(each.action, each.role)
            key = await grant_key(change, name, each.user, each.team)
            if key in wanted:
                raise GrantTwice(grant=key)
            wanted[key] = each.expires_at
            names.append(name)
        await replace_grants(change, object_key(self.object), wanted, names)


class AddGrant(Proposed, tag="grant", frozen=True, kw_only=True):
    """A member or a team has an action or a role on an object, in addition to the other grants."""

    object: ObjectReference
    action: LocalId | None = None
    role: LocalId | None = None
    user: UserReference | None = None
    team: LocalId | None = None
    expires_at: End = None

    def __post_init__(self) -> None:
        """Raise ValueError, which msgspec reports as invalid input, for an ambiguous grant."""
        refuse_ambiguous(self.action, self.role, self.user, self.team)

    async def make(self, change: OrganizationChange, context: PlanContext) -> None:
        """Add the grant."""
        name = grant_name(self.action, self.role)
        key = await grant_key(change, name, self.user, self.team)
        await add_grant(change, object_key(self.object), key, self.expires_at, name)


class RemoveGrant(Proposed, tag="remove_grant", frozen=True, kw_only=True):
    """A member or a team no longer has a grant on an object."""

    object: ObjectReference
    action: LocalId | None = None
    role: LocalId | None = None
    user: UserReference | None = None
    team: LocalId | None = None

    def __post_init__(self) -> None:
        """Raise ValueError, which msgspec reports as invalid input, for an ambiguous grant."""
        refuse_ambiguous(self.action, self.role, self.user, self.team)

    async def make(self, change: OrganizationChange, context: PlanContext) -> None:
        """Take the grant away."""
        name = grant_name(self.action, self.role)
        key = await grant_key(change, name, self.user, self.team)
        await remove_grant(change, object_key(self.object), key, name)


def object_key(object: str) -> ResourceKey:
    """Return the type and the id of an object."""
    type, _, id = object.partition(":")
    return type, ResourceId(id)


def grant_name(action: str | None, role: str | None) -> GrantName:
    """Return the action or the role on an object."""
    return GrantName(str(action), is_role=False) if role is None else GrantName(role, is_role=True)


async def grant_key(
    change: OrganizationChange, name: GrantName, user: str | None, team: str | None
) -> GrantKey:
    """Return the grant to a member or a team."""
    if user is None:
        return GrantKey(name.text, HolderKind.TEAM, str(team))
    member = await find_user_id(change, user)
    return GrantKey(name.text, HolderKind.USER, member)


def refuse_ambiguous(
    action: str | None, role: str | None, user: str | None, team: str | None
) -> None:
    """Raise ValueError unless it is a grant of one thing to one holder."""
    if (action is None) == (role is None):
        raise ValueError("A grant must have either `action` or `role`")
    if (user is None) == (team is None):
        raise ValueError("A grant must have either `user` or `team`")
