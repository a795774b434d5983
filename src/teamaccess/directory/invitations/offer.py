"""Invite people, send invitations again, and cancel them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from msgspec import UNSET
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from teamaccess.access.authorize import authorize, authorize_giving, gift_of_roles
from teamaccess.access.holdings import RoleSet, Target, role_set_in
from teamaccess.access.own_access import refuse_own_offer
from teamaccess.changes import OrganizationChange
from teamaccess.changes.events import record
from teamaccess.changes.events.members import InvitationCancelled, InvitationResent, MemberInvited
from teamaccess.common.configuration.secret import hash_of, new_secret
from teamaccess.common.errors import Conflict, NotFound
from teamaccess.directory.invitations.delivery import count_mail
from teamaccess.directory.invitations.find import open_invitation
from teamaccess.directory.invitations.limits import refuse_flood, refuse_too_many_open
from teamaccess.directory.users.addresses import invitee, normalize_email
from teamaccess.storage import (
    Invitation,
    InvitationId,
    InvitationRole,
    InvitationStatus,
    Membership,
    RoleId,
    User,
    is_local_id,
    new_invitation_id,
)

DEFAULT_LIFE = timedelta(days=7)
LONGEST_LIFE = timedelta(days=30)


class AlreadyMember(Conflict):
    """The address already belongs to a member."""

    message = "{email} is already a member of {organization}. Change their roles instead."


class AlreadyInvited(Conflict):
    """The address has an open invitation."""

    message = "{email} already has an open invitation ({invitation}). Resend or cancel it."


class UnknownInvitation(NotFound):
    """The organization has no such invitation."""

    message = "{organization} has no invitation {invitation}."


@dataclass(frozen=True)
class Letter:
    """An invitation with the secret that its mail carries; the secret is kept nowhere else."""

    invitation: Invitation
    secret: str = field(repr=False)
    roles: RoleSet
    """The organization's roles, for the names of the offered ones."""
    mail: int = 0
    """The id of the mail, which limits count."""


async def invite(
    change: OrganizationChange,
    email: str,
    roles: Sequence[RoleId],
    invitee_key: bytes,
    life: timedelta = DEFAULT_LIFE,
    id: InvitationId | None = None,
) -> Letter:
    """Offer membership with roles to an address; return what to send there.

    An expired invitation to the same address is ended. `id` is for an invitation that was planned.
    Raises InvalidEmail, what `authorize_giving` does, AlreadyMember, AlreadyInvited,
    LimitReached and what `refuse_flood` does.
    """
    address = normalize_email(email)
    role_set = await role_set_in(change, roles)
    await authorize_giving(
        change, "invite", gift_of_roles(role_set, roles), _addressee(change, address)
    )
    await _refuse_member(change, address)
    await _make_room(change, address)
    await refuse_too_many_open(change)
    await refuse_flood(change, address)
    secret = new_secret()
    invitation = Invitation(
        organization_id=change.organization,
        id=id or new_invitation_id(),
        email=address,
        invitee=invitee(invitee_key, address),
        token_hash=hash_of(secret),
        invited_by=change.giver,
        invited_via=change.attribution.account,
        created_at=change.now,
        sent_at=change.now,
        times_sent=1,
        expires_at=change.now + life,
        offers=[InvitationRole(role=role) for role in roles],
    )
    change.session.add(invitation)
    # ids only: the address is in the invitation's row, which can be erased
    await record(
        change,
        MemberInvited(roles=sorted(roles), expires_at=invitation.expires_at),
        change.organization,
        invitation.id,
    )
    return Letter(invitation, secret, role_set, await count_mail(change, invitation))


async def resend(change: OrganizationChange, id: InvitationId) -> Letter:
    """Send an invitation again with a new secret, for as long as the first time.

    The earlier secret no longer works. Sending again is authorized like giving, and the actor is the
    inviter from now on. Raises what `authorize_giving` does, UnknownInvitation, AlreadyMember,
    AlreadyInvited, LimitReached, InvitationEnded and what `refuse_flood` does.
    """
    found = await find_invitation(change, id)
    roles = found.roles if found else []
    role_set = await role_set_in(change, roles)
    gift = gift_of_roles(role_set, roles)
    invitation = await authorize_giving(change, "invite", gift, _target(change, found, id))
    await _refuse_member(change, invitation.email)
    if invitation.lapsed_at is not None:
        await _make_room(change, invitation.email)
        await refuse_too_many_open(change)
    await refuse_flood(change, invitation.email)
    secret = new_secret()
    account, before = change.attribution.account, invitation.invited_by
    invitation.renew(hash_of(secret), by=change.giver, via=account, at=change.now)
    instead = UNSET if before == change.giver else before
    details = InvitationResent(expires_at=invitation.expires_at, instead_of=instead)
    await record(change, details, change.organization, id)
    return Letter(invitation, secret, role_set, await count_mail(change, invitation))


async def cancel(change: OrganizationChange, id: InvitationId) -> Invitation:
    """Cancel an invitation, pending or expired; its link is dead from now on.

    Raises what `authorize` does, UnknownInvitation and InvitationEnded.
    """
    found = await find_invitation(change, id)
    await authorize(change, "cancel_invitation")
    if found is None:
        raise UnknownInvitation(invitation=id, organization=change.organization)
    found.cancel(change.now)
    await record(change, InvitationCancelled(), change.organization, id)
    return found


async def authorize_inviter(change: OrganizationChange, invitation: Invitation) -> None:
    """Check that the inviter may still give the offered roles.

    Raises what `authorize_giving` does, and OwnAccessExtended for an offer to the inviter's own mailbox.

    SECURITY: if a service account invited on a member's behalf, both are asked again. Deleting the
    account ends what it has offered, and neither of them gives what the other lacks.
    """
    roles = invitation.roles
    gift = gift_of_roles(await role_set_in(change, roles), roles)
    with change.judging(invitation.invited_by, invitation.invited_via):
        await authorize_giving(change, "invite", gift, _addressee(change, invitation.email))
        await refuse_own_offer(change, invitation)


async def find_invitation(change: OrganizationChange, id: InvitationId) -> Invitation | None:
    """Return the invitation with its roles, or None."""
    if not is_local_id(id):
        return None
    return await change.session.get(
        Invitation,
        (change.organization, id),
        options=[joinedload(Invitation.offers)],
        populate_existing=True,
    )


async def _refuse_member(change: OrganizationChange, address: str) -> None:
    member = await change.session.scalar(
        select(Membership.user_id)
        .join(User, User.id == Membership.user_id)
        .where(Membership.organization_id == change.organization, User.email == address)
    )
    if member is not None or address in change.newcomers:
        raise AlreadyMember(email=address, organization=change.organization)


async def _make_room(change: OrganizationChange, address: str) -> None:
    """End an expired invitation to the address; raises AlreadyInvited if one is pending."""
    invitation = await open_invitation(change.session, change.organization, address)
    if invitation is None:
        return
    if invitation.status(change.now) is InvitationStatus.PENDING:
        raise AlreadyInvited(email=address, invitation=invitation.id)
    invitation.lapse()
    await change.session.flush()


def _target(
    change: OrganizationChange, invitation: Invitation | None, id: InvitationId
) -> Target[Invitation]:
    if invitation is not None:
        return replace(_addressee(change, invitation.email), row=invitation)
    return Target(None, UnknownInvitation(invitation=id, organization=change.organization))


def _addressee(change: OrganizationChange, address: str) -> Target[Invitation]:
    """Return the target of a new invitation. It has no row, but may go to the actor's own mailbox."""

    async def are_others() -> bool:
        return not await change.is_own_mailbox(address)

    return Target(None, are_others=are_others)
