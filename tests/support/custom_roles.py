"""Custom roles, written into the rows by an operator."""

from collections.abc import Iterable

from teamaccess.storage import CustomRole, CustomRoleAction, RoleAssignment, RoleId
from tests.support.deployment import Organization, Person


async def add_custom_role(
    organization: Organization, id: str, *actions: str, holders: Iterable[Person] = ()
) -> str:
    """Add a custom role that allows these actions, and assign it to the holders. Returns its id.

    `tests/stories/custom_roles.py` creates roles through the API instead, as an administrator does.
    """
    async with organization.deployment.operator(organization.id) as change:
        allowed = [CustomRoleAction(action=action) for action in actions]
        role = CustomRole(
            organization_id=organization.id, id=RoleId(id), name=id.title(), allowed=allowed
        )
        change.session.add(role)
        await change.session.flush()
        for holder in holders:
            assignment = RoleAssignment(
                organization_id=organization.id, user_id=holder.id, role=RoleId(id), custom=True
            )
            change.session.add(assignment)
    return id
