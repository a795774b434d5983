"""Invite people, and change one's mind about it."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import joinedload

from teamaccess.access.authorize import authorize
from teamaccess.access.giving import refuse_beyond, refuse_operator_only
from teamaccess.access.role_set import RoleSet, role_set_of
from teamaccess.changes import Change
from teamaccess.changes.events import record
from teamaccess.common.errors import Conflict, NotFound
from teamaccess.directory.invitations.find import open_invitation
from teamaccess.directory.invitations.limits import refuse_flood, refuse_pile
from teamaccess.directory.invitations.secret import hash_of, new_secret
from teamaccess.directory.users.addresses import invitee, normalise
from teamaccess.ledger import OnBehalf
from teamaccess.storage import (
    Invitation,
    InvitationId,
    InvitationRole,
    InvitationStatus,
    Membership,
    OrganizationId,
    RoleId,
    User,
    UserId,
    is_local_id,
    new_invitation_id,
)

DEFAULT_LIFE = timedelta(days=7)
LONGEST_LIFE = timedelta(days=30)


class AlreadyMember(Conflict):
    """{email} is already a member of {organization}; change the roles there instead."""


class AlreadyInvited(Conflict):
    """{email} already has a pending invitation, {invitation}; resend or cancel that one."""


class UnknownInvitation(NotFound):
    """There is no invitation {invitation} in {organization}."""


@dataclass(frozen=True)
class Letter:
    """An invitation with the secret that its mail carries; the only place where the secret is."""

    invitation: Invitation
    secret: str = field(repr=False)
    roles: RoleSet
    """What the offered roles are."""


async def invite(
    change: Change,
    actor: UserId,
    organization: OrganizationId,
    email: str,
    roles: Sequence[RoleId],
    invitee_key: bytes,
    life: timedelta = DEFAULT_LIFE,
) -> Letter:
    """Offer membership with roles to an address; return what to send there.

    An expired invitation to the same address is put away. Raises InvalidEmail, what `members.rules`
    says of giving, AlreadyMember, AlreadyInvited and what `invitations.limits` says.
    """
    address = normalise(email)
    known = await refuse_giving(change, actor, organization, roles)
    await _refuse_members(change, organization, address)
    await _make_room(change, organization, address)
    await refuse_pile(change, organization)
    await refuse_flood(change, actor, organization, address)
    letter = _write(change, actor, organization, address, invitee_key, roles, life, known)
    # ids only: the address is in the invitation's row, which can be erased
    await record(
        change,
        "member_invited",
        organization,
        f"invitation:{letter.invitation.id}",
        roles=sorted(roles),
        expires_at=letter.invitation.expires_at.isoformat(),
    )
    return letter


async def resend(
    change: Change, actor: UserId, organization: OrganizationId, id: InvitationId
) -> Letter:
    """Send an invitation again with a new secret, for as long as the first time.

    The secret sent before is dead. It counts as giving, and whoever resends is the inviter now.
    """
    invitation = await find_invitation(change, organization, id)
    roles = invitation.roles if invitation else []
    known = await refuse_giving(change, actor, organization, roles)
    invitation = _known(invitation, organization, id)
    await _refuse_members(change, organization, invitation.email)
    if invitation.lapsed_at is not None:
        await _make_room(change, organization, invitation.email)
        await refuse_pile(change, organization)
    await refuse_flood(change, actor, organization, invitation.email)
    secret = new_secret()
    via = change.attribution.account
    invitation.renew(hash_of(secret), by=actor, via=via, at=change.now)
    ends = invitation.expires_at.isoformat()
    await record(change, "invitation_resent", organization, f"invitation:{id}", expires_at=ends)
    return Letter(invitation, secret, known)


async def cancel(
    change: Change, actor: UserId, organization: OrganizationId, id: InvitationId
) -> Invitation:
    """Withdraw an invitation, pending or expired; its link is dead from now on."""
    invitation = await find_invitation(change, organization, id)
    await authorize(change, actor, organization, "cancel_invitation")
    invitation = _known(invitation, organization, id)
    invitation.cancel(change.now)
    await record(change, "invitation_cancelled", organization, f"invitation:{id}")
    return invitation


async def refuse_giving(
    change: Change, inviter: UserId, organization: OrganizationId, roles: Sequence[RoleId]
) -> RoleSet:
    """Return what the roles are, if the inviter may give them.

    Raises what `authorize` does, UnknownRole, OperatorOnlyRole and RoleBeyondGiver.
    """
    known = await role_set_of(change.session, change.catalog, organization, roles)
    actions = known.actions_of(roles)
    held = await authorize(change, inviter, organization, "invite", holding=actions)
    known.refuse_unknown(roles)
    refuse_operator_only(change, roles, known)
    refuse_beyond(actions, held)
    return known


async def ask_about_inviter(change: Change, invitation: Invitation) -> RoleSet:
    """Return what the offered roles are, if whoever invited may still give them.

    SECURITY: where a service account invited on a member's behalf, both are asked again. Deleting the
    account ends what it has offered, and neither of them gives what the other lacks.
    """
    inviter, via = invitation.invited_by, invitation.invited_via
    both = OnBehalf(inviter, via) if via is not None else None
    with change.judging(both):
        return await refuse_giving(change, inviter, invitation.organization_id, invitation.roles)


async def find_invitation(
    change: Change, organization: OrganizationId, id: InvitationId
) -> Invitation | None:
    """Return the invitation with its roles, or None."""
    if not is_local_id(id):
        return None
    return await change.session.get(
        Invitation, (organization, id), options=[joinedload(Invitation.offers)]
    )


def same_secret(invitation: Invitation, secret: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(invitation.token_hash, hash_of(secret))


def _write(
    change: Change,
    actor: UserId,
    organization: OrganizationId,
    address: str,
    invitee_key: bytes,
    roles: Sequence[RoleId],
    life: timedelta,
    known: RoleSet,
) -> Letter:
    secret = new_secret()
    invitation = Invitation(
        organization_id=organization,
        id=new_invitation_id(),
        email=address,
        invitee=invitee(invitee_key, address),
        token_hash=hash_of(secret),
        invited_by=actor,
        invited_via=change.attribution.account,
        created_at=change.now,
        sent_at=change.now,
        times_sent=1,
        expires_at=change.now + life,
        offers=[InvitationRole(role=role) for role in roles],
    )
    change.session.add(invitation)
    return Letter(invitation, secret, known)


async def _refuse_members(change: Change, organization: OrganizationId, address: str) -> None:
    member = await change.session.scalar(
        select(Membership.user_id)
        .join(User, User.id == Membership.user_id)
        .where(Membership.organization_id == organization, User.email == address)
    )
    if member is not None:
        raise AlreadyMember(email=address, organization=organization)


async def _make_room(change: Change, organization: OrganizationId, address: str) -> None:
    """Put an expired invitation to the address away; refuse when one is pending."""
    open_one = await open_invitation(change.session, organization, address)
    if open_one is None:
        return
    if open_one.status(change.now) is InvitationStatus.PENDING:
        raise AlreadyInvited(email=address, invitation=open_one.id)
    open_one.lapse()
    await change.session.flush()


def _known(
    invitation: Invitation | None, organization: OrganizationId, id: InvitationId
) -> Invitation:
    if invitation is None:
        raise UnknownInvitation(invitation=id, organization=organization)
    return invitation
