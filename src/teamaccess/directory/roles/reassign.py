"""What becomes of those who hold a role or are offered it, when it is no more.

In statements for all of them at once: there may be thousands.
"""

from typing import cast

from sqlalchemy import Table, case, delete, func, literal, null, or_, select
from sqlalchemy.dialects.postgresql import insert

from teamaccess.changes import Change
from teamaccess.changes.events import record
from teamaccess.storage import (
    Invitation,
    InvitationRole,
    OrganizationId,
    RoleAssignment,
    RoleId,
    TeamRole,
)

HOLDERS: dict[type[RoleAssignment | TeamRole], str] = {
    RoleAssignment: "user_id",
    TeamRole: "team_id",
}


async def give_instead(
    change: Change, organization: OrganizationId, role: RoleId, to: RoleId, *, custom: bool
) -> None:
    """Give another role to whoever holds the role, until their end of it.

    Who holds the other one already holds it until the later of both ends. What has ended is given to
    nobody.
    """
    for source, holder in HOLDERS.items():
        table = cast(Table, source.__table__)
        kept = [table.c.organization_id, table.c[holder]]
        own = [literal(to), literal(custom), literal(change.now), table.c.expires_at]
        columns = ["organization_id", holder, "role", "custom", "granted_at", "expires_at"]
        in_force = or_(table.c.expires_at.is_(None), table.c.expires_at > change.now)
        mine = (table.c.organization_id == organization, table.c.role == role)
        given = insert(table).from_select(columns, select(*kept, *own).where(*mine, in_force))
        later = case(
            (or_(table.c.expires_at.is_(None), given.excluded.expires_at.is_(None)), null()),
            else_=func.greatest(table.c.expires_at, given.excluded.expires_at),
        )
        key = ["organization_id", holder, "role"]
        await change.session.execute(
            given.on_conflict_do_update(index_elements=key, set_={"expires_at": later})
        )


async def take_away(change: Change, organization: OrganizationId, role: RoleId) -> None:
    """Let nobody hold the role any more."""
    for source in HOLDERS:
        await change.session.execute(
            delete(source).where(source.organization_id == organization, source.role == role)
        )


async def offer_instead(
    change: Change, organization: OrganizationId, role: RoleId, to: RoleId | None
) -> None:
    """Offer another role instead, or none, wherever the role is on offer, also in what has expired.

    An invitation that offered nothing else is cancelled then: it would be one to nothing.
    """
    offering = select(InvitationRole.invitation_id).where(
        InvitationRole.organization_id == organization, InvitationRole.role == role
    )
    open_ones = await change.session.scalars(
        select(Invitation).where(
            Invitation.organization_id == organization,
            Invitation.id.in_(offering),
            Invitation.accepted_at.is_(None),
            Invitation.cancelled_at.is_(None),
        )
    )
    for invitation in open_ones:
        if to is None and invitation.roles == [role]:
            invitation.cancel(change.now)
            subject = f"invitation:{invitation.id}"
            await record(change, "invitation_cancelled", organization, subject, deleted_role=role)
        else:
            invitation.replace_offer(role, to)
            await record(
                change,
                "invitation_offer_changed",
                organization,
                f"invitation:{invitation.id}",
                roles=invitation.roles,
                deleted_role=role,
            )
