"""What the actor of a change may do. SpiceDB always decides, through the catalog's guards."""

from collections.abc import Iterable

from teamaccess.changes import Change, OrganizationChange
from teamaccess.common.errors import Forbidden
from teamaccess.ledger import UnknownOrganization
from teamaccess.storage import OrganizationId

MEMBERSHIP = "membership"
"""The permission that every active member has. For a user without it the organization does not exist."""

ADMINISTRATION = "administration"
"""The permission of the role that holds every action: a user who has it has all the others."""


class MissingPermission(Forbidden):
    """The caller lacks the action that guards the operation. Only a role that has it helps."""

    message = (
        "You need the permission {permission} in {organization}. Ask an administrator for a "
        "role that has it."
    )


class OnlyInPerson(Forbidden):
    """Only a signed-in person may do this. The caller is a service account, or acts for a member."""

    message = (
        "Only a person who signed in themselves can do this. A service account can't, not even "
        "on behalf of a member."
    )


async def authorize(
    change: OrganizationChange, operation: str, *, holding: Iterable[str] = ()
) -> frozenset[str]:
    """Return which of the actions `holding` the actor holds, if the actor may do the operation.

    `holding` may also have permissions to give roles, such as `may_give_support`. SpiceDB answers with
    nothing pending. Raises UnknownOrganization for an actor who is not an active
    member, and MissingPermission with the action that guards the operation.
    """
    actions, guard = change.catalog.actions, change.catalog.guards[operation]
    held = await change.held({MEMBERSHIP, ADMINISTRATION, guard})
    require_held(held, change.organization, guard)
    if ADMINISTRATION in held:
        return frozenset(holding)
    permissions = {each: actions[each].permission if each in actions else each for each in holding}
    held = await change.held(permissions.values())
    return frozenset(action for action, permission in permissions.items() if permission in held)


async def require_membership(change: OrganizationChange) -> None:
    """Return if the actor is an active member; raises UnknownOrganization."""
    require_held(await change.held([MEMBERSHIP]), change.organization, MEMBERSHIP)


def require_held(held: frozenset[str], organization: OrganizationId, guard: str) -> None:
    """Raise UnknownOrganization without membership, MissingPermission without the guard."""
    if MEMBERSHIP not in held:
        raise UnknownOrganization(organization=organization)
    if guard not in held:
        raise MissingPermission(permission=guard, organization=organization)


def require_in_person(change: Change) -> None:
    """Raise OnlyInPerson where a service account acts on behalf of a member."""
    if not change.in_person:
        raise OnlyInPerson
