"""Find access requests: one's own, and those that one may decide on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.catalog import Catalog
from teamaccess.common.errors import NotFound
from teamaccess.storage import (
    AccessRequest,
    AccessRequestStatus,
    CustomRole,
    CustomRoleAction,
    OrganizationId,
    Reason,
    RequestId,
    UserId,
    is_local_id,
)


class UnknownAccessRequest(NotFound):
    """There is no access request {request} in {organization}, or it is not yours to see."""


@dataclass(frozen=True)
class Sight:
    """Which requests of an organization somebody sees."""

    organization: OrganizationId
    user: UserId
    held: frozenset[str]
    """Every action that they hold."""

    def of(self, catalog: Catalog) -> ColumnElement[bool]:
        """Return what a row has to be: their own, or asking for what they may give.

        Nobody gives what they do not have, so nobody is shown a request for it.
        """
        here, mine = AccessRequest.organization_id == self.organization, self.mine
        if catalog.guards["change_roles"] not in self.held:
            return here & mine
        if self.held >= catalog.actions.keys():
            return here
        predefined = [each.id for each in catalog.roles.values() if each.actions <= self.held]
        beyond = select(CustomRoleAction.role).where(
            CustomRoleAction.organization_id == self.organization,
            CustomRoleAction.action.not_in(self.held),
        )
        own = select(CustomRole.id).where(
            CustomRole.organization_id == self.organization, CustomRole.id.not_in(beyond)
        )
        return here & or_(
            mine,
            AccessRequest.role.in_(predefined),
            AccessRequest.role.in_(own),
            AccessRequest.action.in_(self.held),
        )

    @property
    def mine(self) -> ColumnElement[bool]:
        """What a row of their own is."""
        return AccessRequest.user_id == self.user


async def find_request(
    session: AsyncSession, organization: OrganizationId, id: RequestId
) -> AccessRequest | None:
    """Return the request, or None."""
    return await session.get(AccessRequest, (organization, id)) if is_local_id(id) else None


async def get_request(
    session: AsyncSession, catalog: Catalog, sight: Sight, id: RequestId
) -> AccessRequest:
    """Return the request; raises UnknownAccessRequest for what is not theirs to see."""
    found = None
    if is_local_id(id):
        found = await session.scalar(
            select(AccessRequest).where(sight.of(catalog), AccessRequest.id == id)
        )
    if found is None:
        raise UnknownAccessRequest(request=id, organization=sight.organization)
    return found


async def list_requests(
    session: AsyncSession,
    catalog: Catalog,
    sight: Sight,
    status: AccessRequestStatus | None,
    mine: bool,
    before: tuple[datetime, RequestId] | None,
    limit: int,
) -> Sequence[AccessRequest]:
    """Return at most `limit` requests, the newest first."""
    page = (
        select(AccessRequest)
        .where(sight.of(catalog))
        .order_by(AccessRequest.requested_at.desc(), AccessRequest.id.desc())
        .limit(limit)
    )
    if mine:
        page = page.where(sight.mine)
    if status is not None:
        page = page.where(AccessRequest.status == status)
    if before is not None:
        page = page.where(tuple_(AccessRequest.requested_at, AccessRequest.id) < before)
    return (await session.scalars(page)).all()


async def reasons_of(session: AsyncSession, requests: Sequence[AccessRequest]) -> dict[bytes, str]:
    """Return the texts of the requests' reasons by their hashes; erased ones are not there."""
    hashes = {each.reason_hash for each in requests} | {
        each.decision_reason_hash for each in requests if each.decision_reason_hash is not None
    }
    found = await session.execute(select(Reason.hash, Reason.text).where(Reason.hash.in_(hashes)))
    return {row.hash: row.text for row in found}
