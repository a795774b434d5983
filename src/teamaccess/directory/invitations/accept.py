"""Accept an invitation: the one moment at which a mail becomes a membership."""

from datetime import datetime

from sqlalchemy import ColumnElement, literal, literal_column, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import raiseload

from teamaccess.access.authorize import MissingPermission, OnlyInPerson, RoleBeyondGiver
from teamaccess.access.holdings import UnknownRole, custom_among
from teamaccess.access.own_access import OwnAccessExtended
from teamaccess.changes import OrganizationChange
from teamaccess.changes.caps import refuse_full
from teamaccess.changes.events import record
from teamaccess.changes.events.members import InvitationAccepted
from teamaccess.changes.events.users import UserSignedIn
from teamaccess.common.configuration.secret import hash_of, is_secret_of
from teamaccess.common.errors import Conflict, Forbidden, NotFound, Unauthenticated
from teamaccess.directory.invitations.offer import (
    AlreadyMember,
    authorize_inviter,
    find_invitation,
)
from teamaccess.directory.users.addresses import normalize_email
from teamaccess.directory.users.profiles import holder_of
from teamaccess.ledger import UnknownOrganization
from teamaccess.storage import Invitation, InvitationId, Membership, User, new_user_id
from teamaccess.storage.directory.user import MAILBOX_SQL, mailbox


class InviteeSuspended(Conflict):
    """The invitation is for another address of a suspended member."""

    message = "You are suspended in {organization}. Ask an administrator to reactivate you."


class UnknownInvitationToken(NotFound):
    """The token of the link belongs to no open invitation.

    A new mail replaces the token of the mail before.
    """

    message = (
        "This invitation link is not valid, or a newer mail has replaced it. Use the link in "
        "the newest mail, or ask for a new invitation."
    )


class AcceptsForSomebodyElse(Forbidden):
    """The caller is signed in with another address than the invited one."""

    message = (
        "This invitation was sent to another address than the one you are signed in with. Sign in as "
        "the invited person, or ask for an invitation to your address."
    )


class AddressNotVerified(AcceptsForSomebodyElse):
    """The caller's login does not confirm any address."""

    code = AcceptsForSomebodyElse.code
    message = (
        "Your login does not confirm your e-mail address. Verify the address where you sign in, sign in "
        "again, and then accept the invitation."
    )


class SignInToAccept(Unauthenticated):
    """The invited address belongs to a user, so holding the link is not enough."""

    message = (
        "The invited address already has an account. Sign in with it to accept the invitation."
    )


class InviterLostRights(Conflict):
    """The inviter could give these roles when they invited, and cannot any more."""

    message = "The person who invited you can no longer give these roles. Ask for a new invitation."


class OfferedRoleGone(Conflict):
    """The catalog or the organization no longer has a role that the invitation offers."""

    message = "The role {role!r} of this invitation no longer exists. Ask for a new invitation."


class InvitationUnexplained(Conflict):
    """The invitation differs from the event that records it: somebody changed it in the database."""

    message = (
        "This invitation differs from the event that records it, so it can't be accepted. Ask "
        "for a new invitation, and tell an operator of this service."
    )


ATTESTED = text("SELECT invitation_attested(:organization, :id)")
"""SECURITY: whether the row agrees with the event that records it. Someone with the database's password
could write an invitation, and accept it before anybody runs `ledger verify`."""


async def find_by_secret(session: AsyncSession, secret: str, now: datetime) -> Invitation:
    """Return the invitation that a secret belongs to, before anything is locked.

    Raises UnknownInvitationToken, and InvitationEnded if the invitation cannot be accepted any more. So
    nobody can keep an organization busy with an old link.
    """
    invitation = await session.scalar(
        select(Invitation)
        .where(Invitation.token_hash == hash_of(secret))
        .options(raiseload(Invitation.offers))  # they are read under the lock
    )
    if invitation is None:
        raise UnknownInvitationToken
    invitation.refuse_unless_pending(now)
    return invitation


async def accept(
    change: OrganizationChange,
    id: InvitationId,
    secret: str,
    signed_in: User | None,
    address: str | None,
    name: str | None,
) -> User:
    """Create the membership with the offered roles, under the organization's lock; return the user.

    `address` is the one that the caller's credential vouches for. `name` is for a user without one.

    The inviter is authorized again: they must still be able to invite, and hold every action offered.
    Raises UnknownInvitationToken, InvitationUnexplained, OnlyInPerson, AcceptsForSomebodyElse,
    SignInToAccept, InvitationEnded, InviterLostRights, OfferedRoleGone, OperatorOnlyRole, AlreadyMember,
    InviteeSuspended and LimitReached.
    """
    organization = change.organization
    invitation = await find_invitation(change, id)
    if invitation is None or not is_secret_of(invitation.token_hash, secret):
        raise UnknownInvitationToken
    invitation.refuse_unless_pending(change.now)  # another request may have been faster
    if not await change.session.scalar(ATTESTED, {"organization": organization, "id": id}):
        raise InvitationUnexplained
    is_account = signed_in is not None and signed_in.is_service_account
    if is_account or not change.in_person:
        raise OnlyInPerson
    if signed_in is not None:
        await _refuse_other(change, invitation, signed_in, address)
    user = await _invited_user(change, invitation, signed_in, name)
    invitation.accept(user.id, change.now)
    change.attribute(change.attribution.with_inviter(user.id, invitation.invited_by))
    await _authorize_inviter(change, invitation)
    await _join(change, invitation, user)
    await record(
        change,
        InvitationAccepted(user=user.id, roles=invitation.roles, invited_by=invitation.invited_by),
        organization,
        id,
    )
    await record(change, UserSignedIn(by="invitation"), organization, user.id)
    return user


async def _refuse_other(
    change: OrganizationChange, invitation: Invitation, user: User, address: str | None
) -> None:
    """Raise AcceptsForSomebodyElse unless the caller holds the invited address at present.

    SECURITY: an address may have had another owner when it was stored with a user.
    """
    if address is None:
        raise AddressNotVerified
    if address != normalize_email(invitation.email):
        raise AcceptsForSomebodyElse
    holder = await holder_of(change.session, address)
    if holder is not None and holder.id != user.id:
        raise AcceptsForSomebodyElse


async def _invited_user(
    change: OrganizationChange, invitation: Invitation, signed_in: User | None, name: str | None
) -> User:
    """Return the invited user; a new address becomes a user."""
    if signed_in is not None:
        if signed_in.name is None:
            signed_in.name = name
        return signed_in
    user: User | None = await change.session.scalar(
        insert(User)
        .values(
            id=new_user_id(),
            email=normalize_email(invitation.email),
            name=name,
            created_at=change.now,
            tokens_valid_from=change.now,
        )
        .on_conflict_do_nothing(index_elements=[User.email])
        .returning(User)
    )
    if user is None:
        raise SignInToAccept
    return user


async def _authorize_inviter(change: OrganizationChange, invitation: Invitation) -> None:
    """Check that the inviter could send the invitation now.

    Raises InviterLostRights and OfferedRoleGone.
    """
    try:
        await authorize_inviter(change, invitation)
    except UnknownRole as gone:
        raise OfferedRoleGone(role=gone.facts["role"]) from gone
    except (UnknownOrganization, MissingPermission, RoleBeyondGiver, OwnAccessExtended) as lost:
        raise InviterLostRights from lost


async def _is_suspended(change: OrganizationChange, address: str) -> bool:
    """Return whether a member with any address of this mailbox is suspended."""
    theirs: ColumnElement[str] = literal_column(MAILBOX_SQL.format(email="users.email"))
    suspended = (
        select(Membership.user_id)
        .join(User, User.id == Membership.user_id)
        .where(
            Membership.organization_id == change.organization,
            Membership.suspended_at.is_not(None),
            theirs == mailbox(address),
        )
        .limit(1)
    )
    return await change.session.scalar(suspended) is not None


async def _join(change: OrganizationChange, invitation: Invitation, user: User) -> None:
    organization = change.organization
    if await change.session.get(Membership, (organization, user.id)) is not None:
        raise AlreadyMember(email=invitation.email, organization=organization)
    if await _is_suspended(change, invitation.email):
        raise InviteeSuspended(organization=organization)
    present = select(literal(1)).where(Membership.organization_id == organization)
    await refuse_full(change, "members", present)
    roles = invitation.roles
    custom = custom_among(change.catalog, roles)
    change.session.add(Membership.begin(organization, user, roles, change.now, custom))
