"""Replace a deleted role for its holders, and in invitations that offer it.

Each statement covers all holders at once, because there may be thousands.
"""

from typing import cast

from sqlalchemy import Table, case, delete, func, literal, null, or_, select
from sqlalchemy.dialects.postgresql import insert

from teamaccess.changes import OrganizationChange
from teamaccess.changes.events import record
from teamaccess.changes.events.members import InvitationCancelled, InvitationOfferChanged
from teamaccess.storage import (
    Invitation,
    InvitationRole,
    RoleAssignment,
    RoleId,
    TeamRole,
)

HOLDERS: dict[type[RoleAssignment | TeamRole], str] = {
    RoleAssignment: "user_id",
    TeamRole: "team_id",
}


async def give_instead(
    change: OrganizationChange, role: RoleId, to: RoleId, *, custom: bool
) -> None:
    """Give the role `to` to each holder of `role`, until their `role` ends.

    A holder who has `to` already keeps it until the later of both ends. A role that has ended is not
    replaced.
    """
    for source, holder in HOLDERS.items():
        table = cast(Table, source.__table__)
        key_columns = [table.c.organization_id, table.c[holder]]
        values = [literal(to), literal(custom), literal(change.now), table.c.expires_at]
        columns = ["organization_id", holder, "role", "custom", "granted_at", "expires_at"]
        in_force = or_(table.c.expires_at.is_(None), table.c.expires_at > change.now)
        held = (table.c.organization_id == change.organization, table.c.role == role)
        given = insert(table).from_select(
            columns, select(*key_columns, *values).where(*held, in_force)
        )
        later = case(
            (or_(table.c.expires_at.is_(None), given.excluded.expires_at.is_(None)), null()),
            else_=func.greatest(table.c.expires_at, given.excluded.expires_at),
        )
        key = ["organization_id", holder, "role"]
        await change.session.execute(
            given.on_conflict_do_update(index_elements=key, set_={"expires_at": later})
        )


async def take_away(change: OrganizationChange, role: RoleId) -> None:
    """Take the role away from all its holders."""
    for source in HOLDERS:
        await change.session.execute(
            delete(source).where(source.organization_id == change.organization, source.role == role)
        )


async def offer_instead(change: OrganizationChange, role: RoleId, to: RoleId | None) -> None:
    """Offer the role `to`, or none, in the open invitations that offer `role`, expired ones too.

    Without `to`, an invitation that offers nothing else is cancelled.
    """
    organization = change.organization
    offering = select(InvitationRole.invitation_id).where(
        InvitationRole.organization_id == organization, InvitationRole.role == role
    )
    invitations = await change.session.scalars(
        select(Invitation).where(
            Invitation.organization_id == organization,
            Invitation.id.in_(offering),
            Invitation.accepted_at.is_(None),
            Invitation.cancelled_at.is_(None),
        )
    )
    for invitation in invitations:
        if to is None and invitation.roles == [role]:
            invitation.cancel(change.now)
            await record(
                change, InvitationCancelled(deleted_role=role), organization, invitation.id
            )
        else:
            invitation.replace_offer(role, to)
            await record(
                change,
                InvitationOfferChanged(roles=invitation.roles, deleted_role=role),
                organization,
                invitation.id,
            )
