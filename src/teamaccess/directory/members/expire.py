"""End memberships and roles whose end has come.

Nobody is asked: whoever gave them gave them until then. No end can take the last administrator, for
only those without an end are counted (`rules.keep_one_administrator`).
"""

from sqlalchemy import select
from sqlalchemy.orm import joinedload, selectinload

from teamaccess.changes import Change
from teamaccess.changes.events import record
from teamaccess.directory.members.end import end_memberships
from teamaccess.storage import Membership, OrganizationId, RoleAssignment


async def expire_memberships(change: Change, organization: OrganizationId, most: int) -> int:
    """End at most so many memberships, as a removal does; return how many."""
    found = await change.session.scalars(
        select(Membership)
        .where(Membership.organization_id == organization, Membership.due(change.now))
        .order_by(Membership.expires_at)
        .limit(most)
        .options(joinedload(Membership.user), selectinload(Membership.assignments))
    )
    ended = found.all()
    await end_memberships(change, organization, ended)
    for member in ended:
        await record(
            change,
            "membership_ended",
            organization,
            f"user:{member.user_id}",
            roles=member.roles,
            expires_at=_told(member),
        )
    return len(ended)


async def expire_roles(change: Change, organization: OrganizationId, most: int) -> int:
    """End the ended roles of at most so many members; return how many roles that were."""
    first = (
        select(RoleAssignment.user_id)
        .where(RoleAssignment.organization_id == organization, RoleAssignment.due(change.now))
        .order_by(RoleAssignment.expires_at)
        .limit(most)
    )
    members = await change.session.scalars(
        select(Membership)
        .where(Membership.organization_id == organization, Membership.user_id.in_(first))
        .options(selectinload(Membership.assignments))
    )
    count = 0
    for member in members:
        for ended in member.remove_expired_roles(change.now):
            await record(
                change,
                "role_ended",
                organization,
                f"user:{member.user_id}",
                role=ended.role,
                expires_at=_told(ended),
            )
            count += 1
    return count


def _told(ended: Membership | RoleAssignment) -> str | None:
    return ended.expires_at.isoformat() if ended.expires_at else None
