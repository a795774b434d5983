"""Find pending invitations that nobody can accept, for example because their inviter lost the right."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from teamaccess.access.authorize import ADMINISTRATION, MEMBERSHIP
from teamaccess.access.holdings import Holdings, RoleSet, role_set_of
from teamaccess.access.reading import ReadAuthorizer
from teamaccess.catalog import Catalog
from teamaccess.storage import (
    Invitation,
    InvitationId,
    InvitationStatus,
    Membership,
    OrganizationId,
    RoleId,
    User,
    UserId,
)
from teamaccess.storage.directory.user import mailbox

Held = dict[UserId, frozenset[str]]


class InvitationObstacle(StrEnum):
    """Why nobody can accept a pending invitation at this moment."""

    INVITER_REMOVED = "inviter_removed"
    INVITER_SUSPENDED = "inviter_suspended"
    INVITER_MAY_NOT_INVITE = "inviter_may_not_invite"
    INVITER_LACKS_ROLE = "inviter_lacks_role"
    """The inviter lacks some of the actions that the offered roles allow."""
    ROLE_UNKNOWN = "role_unknown"
    """An offered role does not exist any more."""
    ROLE_FROM_OPERATORS = "role_from_operators"
    """Only operators give an offered role."""

    @property
    def needs_new_sender(self) -> bool:
        """Whether another member, with the right to give the roles, can send the invitation again."""
        return self not in (InvitationObstacle.ROLE_UNKNOWN, InvitationObstacle.ROLE_FROM_OPERATORS)


class InvitationObstacles:
    """Finds what keeps invitations from being accepted, by the rules of `authorize_inviter`.

    It decides nothing: the acceptance asks again. Two rounds of questions go to SpiceDB for a whole page.
    """

    def __init__(self, reading: ReadAuthorizer, catalog: Catalog) -> None:
        self._reading, self._catalog = reading, catalog

    async def find_obstacles(
        self,
        session: AsyncSession,
        organization: OrganizationId,
        invitations: Iterable[Invitation],
        now: datetime,
    ) -> dict[InvitationId, InvitationObstacle]:
        """Return the obstacle of each pending invitation that has one."""
        pending = [each for each in invitations if each.status(now) is InvitationStatus.PENDING]
        if not pending:
            return {}
        roles = {role for each in pending for role in each.roles}
        role_set = await role_set_of(session, self._catalog, organization, roles)
        senders = {sender for each in pending for sender in _senders(each)}
        members = await _members(session, organization, senders)
        rows = await session.scalars(select(User).where(User.id.in_(senders)))
        people = {user.id: user for user in rows}
        held = await self._held(organization, pending, role_set)
        return {
            each.id: obstacle
            for each in pending
            if (obstacle := self._obstacle(each, role_set, members, people, held)) is not None
        }

    async def _held(
        self, organization: OrganizationId, pending: Sequence[Invitation], role_set: RoleSet
    ) -> Held:
        """Return which of the permissions that matter each sender has."""
        guards = self._catalog.guards
        basics = {MEMBERSHIP, ADMINISTRATION, guards["invite"], guards["act_on_behalf"]}
        senders = {sender for each in pending for sender in _senders(each)}
        held = await self._reading.permissions_of(organization, dict.fromkeys(senders, basics))
        wanted: dict[UserId, set[str]] = defaultdict(set)
        for each in pending:
            for sender in _senders(each):
                if MEMBERSHIP in held[sender] and ADMINISTRATION not in held[sender]:
                    wanted[sender] |= self._permissions(role_set.powers_of(each.roles))
        more = await self._reading.permissions_of(organization, wanted)
        return {sender: held[sender] | more.get(sender, frozenset()) for sender in senders}

    def _obstacle(
        self,
        invitation: Invitation,
        role_set: RoleSet,
        members: frozenset[UserId],
        people: Mapping[UserId, User],
        held: Held,
    ) -> InvitationObstacle | None:
        guards = self._catalog.guards
        for role in invitation.roles:
            if role not in self._catalog.roles and role not in role_set.custom:
                return InvitationObstacle.ROLE_UNKNOWN
            if role_set.operators_grant(role):
                return InvitationObstacle.ROLE_FROM_OPERATORS
        for sender in _senders(invitation):
            if MEMBERSHIP not in held[sender]:
                suspended = sender in members
                return (
                    InvitationObstacle.INVITER_SUSPENDED
                    if suspended
                    else InvitationObstacle.INVITER_REMOVED
                )
            needed = {guards["invite"]}
            if sender == invitation.invited_via:
                needed.add(guards["act_on_behalf"])
            if ADMINISTRATION in held[sender]:
                continue
            if not needed <= held[sender]:
                return InvitationObstacle.INVITER_MAY_NOT_INVITE
            if self._lacks_role(invitation, role_set, held[sender], people.get(sender)):
                return InvitationObstacle.INVITER_LACKS_ROLE
        return None

    def _lacks_role(
        self,
        invitation: Invitation,
        role_set: RoleSet,
        permissions: frozenset[str],
        sender: User | None,
    ) -> bool:
        """Return whether the sender may not give the offered roles, by the rules of `free_roles`."""
        powers = role_set.powers_of(invitation.roles)
        named = self._catalog.permissions
        held = {power for power in powers if named[power].permission in permissions}
        free: frozenset[RoleId] = frozenset()
        if invitation.invited_via is None and sender is not None and not sender.is_service_account:
            own = sender.email is not None and mailbox(sender.email) == mailbox(invitation.email)
            if not own:
                free = Holdings(role_set, frozenset(invitation.roles)).givable(held)
        return bool(role_set.beyond(invitation.roles, held, free))

    def _permissions(self, powers: Iterable[str]) -> set[str]:
        return {self._catalog.permissions[power].permission for power in powers}


def _senders(invitation: Invitation) -> list[UserId]:
    """Return the inviter, and the service account that sent it on their behalf."""
    via = invitation.invited_via
    return [invitation.invited_by] if via is None else [invitation.invited_by, via]


async def _members(
    session: AsyncSession, organization: OrganizationId, users: Collection[UserId]
) -> frozenset[UserId]:
    rows = await session.scalars(
        select(Membership.user_id).where(
            Membership.organization_id == organization, Membership.user_id.in_(users)
        )
    )
    return frozenset(rows)
