"""Find access requests: a user's own, and those that they may decide on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.access.holdings import Holdings, RoleSet
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
    RoleId,
    UserId,
    is_local_id,
)


class UnknownAccessRequest(NotFound):
    """The organization has no such request, or the caller may not see it."""

    message = "{organization} has no access request {request} that you can see."


@dataclass(frozen=True)
class Viewer:
    """A user who looks at an organization's requests, and the actions that decide which ones they see."""

    organization: OrganizationId
    user: UserId
    held: frozenset[str]
    """Every action that the user holds, and their permissions to give roles."""
    gives_in_person: bool
    """Whether the user is a person, and no service account acts for them. Only then `may_give` counts."""

    def may_see(self, catalog: Catalog) -> ColumnElement[bool]:
        """Return the condition for a visible row: the user's own, or for something that they may give.

        A request for an action can be answered with any role that allows it.
        """
        here, mine = AccessRequest.organization_id == self.organization, self.mine
        if catalog.guards["change_roles"] not in self.held:
            return here & mine
        if self.held >= catalog.actions.keys():
            return here
        free = Holdings(RoleSet(catalog, {}), frozenset(map(RoleId, catalog.roles))).givable(
            self.held if self.gives_in_person else frozenset()
        )
        predefined = [
            role
            for role in map(RoleId, catalog.roles)
            if not RoleSet(catalog, {}).beyond([role], self.held, free)
        ]
        actions = self.held.union(*(catalog.roles[role].actions for role in free))
        beyond = select(CustomRoleAction.role).where(
            CustomRoleAction.organization_id == self.organization,
            CustomRoleAction.action.not_in(self.held),
        )
        custom = select(CustomRole.id).where(
            CustomRole.organization_id == self.organization, CustomRole.id.not_in(beyond)
        )
        return here & or_(
            mine,
            AccessRequest.role.in_(predefined),
            AccessRequest.role.in_(custom),
            AccessRequest.action.in_(actions),
        )

    @property
    def mine(self) -> ColumnElement[bool]:
        """The condition for the user's own requests."""
        return AccessRequest.user_id == self.user


async def find_request(
    session: AsyncSession, organization: OrganizationId, id: RequestId
) -> AccessRequest | None:
    """Return the request, or None."""
    if not is_local_id(id):
        return None
    return await session.get(AccessRequest, (organization, id), populate_existing=True)


async def get_request(
    session: AsyncSession, catalog: Catalog, viewer: Viewer, id: RequestId
) -> AccessRequest:
    """Return the request; raises UnknownAccessRequest for one that the user may not see."""
    request = None
    if is_local_id(id):
        request = await session.scalar(
            select(AccessRequest).where(viewer.may_see(catalog), AccessRequest.id == id)
        )
    if request is None:
        raise UnknownAccessRequest(request=id, organization=viewer.organization)
    return request


async def list_requests(
    session: AsyncSession,
    catalog: Catalog,
    viewer: Viewer,
    status: AccessRequestStatus | None,
    mine: bool,
    before: tuple[datetime, RequestId] | None,
    limit: int,
) -> Sequence[AccessRequest]:
    """Return at most `limit` requests, the newest first."""
    page = (
        select(AccessRequest)
        .where(viewer.may_see(catalog))
        .order_by(AccessRequest.requested_at.desc(), AccessRequest.id.desc())
        .limit(limit)
    )
    if mine:
        page = page.where(viewer.mine)
    if status is not None:
        page = page.where(AccessRequest.status == status)
    if before is not None:
        page = page.where(tuple_(AccessRequest.requested_at, AccessRequest.id) < before)
    return (await session.scalars(page)).all()


async def reasons_of(session: AsyncSession, requests: Sequence[AccessRequest]) -> dict[bytes, str]:
    """Return the texts of the requests' reasons by their hashes, without erased ones."""
    hashes = {each.reason_hash for each in requests} | {
        each.decision_reason_hash for each in requests if each.decision_reason_hash is not None
    }
    rows = await session.execute(select(Reason.hash, Reason.text).where(Reason.hash.in_(hashes)))
    return {row.hash: row.text for row in rows}
