"""How many members and teams hold a role, invitations offer it and access requests ask for it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    ARRAY,
    BindParameter,
    CompoundSelect,
    DateTime,
    Select,
    Text,
    any_,
    bindparam,
    func,
    literal,
    or_,
    select,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.storage import (
    AccessRequest,
    AccessRequestStatus,
    Invitation,
    InvitationRole,
    OrganizationId,
    RoleAssignment,
    RoleId,
    TeamRole,
    is_role_id,
)

HERE: BindParameter[OrganizationId] = bindparam("organization")
NOW = bindparam("now", type_=DateTime(timezone=True))
WANTED = any_(bindparam("roles", type_=ARRAY(Text)))


@dataclass
class Holders:
    """How many things depend on a role."""

    members: int = 0
    """Members that it is assigned to directly, suspended ones too."""
    teams: int = 0
    invitations: int = 0
    """Pending invitations that offer it."""
    access_requests: int = 0
    """Pending access requests that ask for it."""

    def __bool__(self) -> bool:
        return any((self.members, self.teams, self.invitations, self.access_requests))


def _held(kind: str, table: type[RoleAssignment | TeamRole]) -> Select[str, RoleId, int]:
    in_force = or_(table.expires_at.is_(None), table.expires_at > NOW)
    return (
        select(literal(kind), table.role, func.count())
        .where(table.organization_id == HERE, table.role == WANTED, in_force)
        .group_by(table.role)
    )


OFFERED = (
    select(literal("invitations"), InvitationRole.role, func.count())
    .join(
        Invitation,
        (Invitation.organization_id == InvitationRole.organization_id)
        & (Invitation.id == InvitationRole.invitation_id),
    )
    .where(
        Invitation.organization_id == HERE,
        InvitationRole.role == WANTED,
        Invitation.accepted_at.is_(None),
        Invitation.cancelled_at.is_(None),
        Invitation.lapsed_at.is_(None),
        Invitation.expires_at > NOW,
    )
    .group_by(InvitationRole.role)
)
ASKED_FOR = (
    select(literal("access_requests"), AccessRequest.role, func.count())
    .where(
        AccessRequest.organization_id == HERE,
        AccessRequest.role == WANTED,
        AccessRequest.status == AccessRequestStatus.PENDING,
    )
    .group_by(AccessRequest.role)
)
COUNTED: CompoundSelect[str, RoleId, int] = union_all(
    _held("members", RoleAssignment), _held("teams", TeamRole), OFFERED, ASKED_FOR
)


async def holders_of(
    session: AsyncSession, organization: OrganizationId, roles: Iterable[RoleId], now: datetime
) -> Mapping[RoleId, Holders]:
    """Return the holders of each role, in one query. Roles that have expired do not count."""
    holders: defaultdict[RoleId, Holders] = defaultdict(Holders)
    ids = [role for role in roles if is_role_id(role)]  # no other text can be a role
    keys = {"organization": organization, "roles": ids, "now": now}
    for kind, role, count in await session.execute(COUNTED, keys):
        setattr(holders[role], kind, count)
    return holders
