"""Invitations and access requests that name a role or an action which another catalog does not have.

They give no access yet, so no relationship in SpiceDB shows them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.catalog import Catalog
from teamaccess.storage import (
    AccessRequest,
    AccessRequestStatus,
    Invitation,
    InvitationRole,
    OrganizationId,
)


@dataclass(frozen=True)
class OpenOffer:
    """A pending invitation or access request that the other catalog makes impossible."""

    organization: str
    kind: str
    """`invitation` or `access_request`."""
    id: str
    names: str
    """The role or the action that the other catalog lacks."""

    def __str__(self) -> str:
        does = "offers" if self.kind == "invitation" else "asks for"
        return (
            f"{self.organization}: the {self.kind.replace('_', ' ')} {self.id} {does} {self.names}, "
            "which the catalog does not have."
        )


async def find_open_offers(
    session: AsyncSession,
    organizations: Sequence[OrganizationId],
    present: Catalog,
    planned: Catalog,
) -> list[OpenOffer]:
    """Return what is pending in these organizations and names what the planned catalog lacks."""
    roles = present.roles.keys() - planned.roles.keys()
    actions = present.actions.keys() - planned.actions.keys()
    if not roles and not actions:
        return []
    offered = (
        select(InvitationRole.organization_id, InvitationRole.invitation_id, InvitationRole.role)
        .join(
            Invitation,
            and_(
                Invitation.organization_id == InvitationRole.organization_id,
                Invitation.id == InvitationRole.invitation_id,
            ),
        )
        .where(
            InvitationRole.organization_id.in_(organizations),
            InvitationRole.role.in_(roles),
            Invitation.accepted_at.is_(None),
            Invitation.cancelled_at.is_(None),
            Invitation.expires_at > func.clock_timestamp(),
        )
    )
    asked = select(
        AccessRequest.organization_id,
        AccessRequest.id,
        func.coalesce(AccessRequest.role, AccessRequest.action),
    ).where(
        AccessRequest.organization_id.in_(organizations),
        AccessRequest.status == AccessRequestStatus.PENDING,
        or_(_names(AccessRequest.role, roles), _names(AccessRequest.action, actions)),
    )
    found = [
        OpenOffer(organization, kind, id, names)
        for kind, statement in (("invitation", offered), ("access_request", asked))
        for organization, id, names in await session.execute(statement)
    ]
    return sorted(found, key=lambda each: (each.organization, each.kind, each.id, each.names))


def _names(column: object, gone: set[str]) -> ColumnElement[bool]:
    in_any: ColumnElement[bool] = column.in_(gone)  # type: ignore[attr-defined]
    return in_any
