"""Accept an invitation: the one moment at which a mail becomes a membership."""

from datetime import datetime

from sqlalchemy import literal, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import raiseload

from teamaccess.access.authorize import MissingPermission
from teamaccess.access.giving import RoleBeyondGiver
from teamaccess.access.role_set import RoleSet, UnknownRole
from teamaccess.access.selves import OnlyInPerson, is_in_person
from teamaccess.changes import Change
from teamaccess.changes.events import record
from teamaccess.common.errors import Conflict, Forbidden, NotFound, Unauthenticated
from teamaccess.directory.caps import refuse_full
from teamaccess.directory.invitations.offer import (
    AlreadyMember,
    ask_about_inviter,
    find_invitation,
    same_secret,
)
from teamaccess.directory.invitations.secret import hash_of
from teamaccess.ledger import UnknownOrganization
from teamaccess.storage import (
    Invitation,
    InvitationId,
    Membership,
    OrganizationId,
    User,
    new_user_id,
)


class UnknownInvitationToken(NotFound):
    """This invitation link is not valid, or a newer mail has replaced it. Use the link of the newest mail, or ask for a new invitation."""  # noqa: E501 - a sentence is one line


class AcceptsForSomebodyElse(Forbidden):
    """This invitation was sent to another address than the one you are signed in with. Sign out, or sign in as the invited person."""  # noqa: E501 - a sentence is one line


class SignInToAccept(Unauthenticated):
    """There is an account for the invited address. Sign in with it to accept the invitation."""


class InviterLostRights(Conflict):
    """Whoever invited you may no longer give these roles, so the invitation cannot be accepted. Ask for a new one."""  # noqa: E501 - a sentence is one line


class InvitationUnexplained(Conflict):
    """No event explains this invitation as it is, so it cannot be accepted. Ask for a new one, and tell whoever operates this service."""  # noqa: E501 - a sentence is one line


ATTESTED = text("SELECT invitation_attested(:organization, :id)")
"""SECURITY: whether the row is as the event says that made it. Someone with the database's password could
write an invitation, and accept it before anybody runs `ledger verify`."""


async def addressed(session: AsyncSession, secret: str, now: datetime) -> Invitation:
    """Return the invitation that a secret belongs to, before anything is locked.

    Raises UnknownInvitationToken, and InvitationEnded for one that cannot be accepted any more:
    whoever keeps an old link must not be able to keep an organization busy with it.
    """
    found = await session.scalar(
        select(Invitation)
        .where(Invitation.token_hash == hash_of(secret))
        .options(raiseload(Invitation.offers))  # they are read under the lock
    )
    if found is None:
        raise UnknownInvitationToken
    found.refuse_unless_pending(now)
    return found


async def accept(
    change: Change,
    organization: OrganizationId,
    id: InvitationId,
    secret: str,
    signed_in: User | None,
    name: str | None,
) -> User:
    """Make the membership with the offered roles, under the organization's lock; return the user.

    The inviter is asked about again: they must still be able to invite, and hold every action offered.
    Raises UnknownInvitationToken, InvitationUnexplained, OnlyInPerson, AcceptsForSomebodyElse,
    SignInToAccept, InvitationEnded, InviterLostRights, AlreadyMember and LimitReached.
    """
    invitation = await find_invitation(change, organization, id)
    if invitation is None or not same_secret(invitation, secret):
        raise UnknownInvitationToken
    invitation.refuse_unless_pending(change.now)  # somebody may have been first meanwhile
    if not await change.session.scalar(ATTESTED, {"organization": organization, "id": id}):
        raise InvitationUnexplained
    machine = signed_in is not None and signed_in.is_service_account
    if machine or not is_in_person(change):
        raise OnlyInPerson
    if signed_in is not None and signed_in.email != invitation.email:
        raise AcceptsForSomebodyElse
    user = await _invited(change, invitation, signed_in, name)
    invitation.accept(user.id, change.now)
    change.attribute(change.attribution.with_inviter(user.id, invitation.invited_by))
    known = await _ask_about_inviter(change, invitation)
    await _join(change, invitation, user, known)
    await record(
        change,
        "invitation_accepted",
        organization,
        f"invitation:{id}",
        user=user.id,
        roles=invitation.roles,
        invited_by=invitation.invited_by,
    )
    await record(change, "signed_in", organization, f"user:{user.id}", by="invitation")
    return user


async def _invited(
    change: Change, invitation: Invitation, signed_in: User | None, name: str | None
) -> User:
    """Return the invited user, who is made where the address is new."""
    if signed_in is not None:
        return signed_in
    made: User | None = await change.session.scalar(
        insert(User)
        .values(
            id=new_user_id(),
            email=invitation.email,
            name=name,
            created_at=change.now,
            tokens_valid_from=change.now,
        )
        .on_conflict_do_nothing(index_elements=[User.email])
        .returning(User)
    )
    if made is None:
        raise SignInToAccept
    return made


async def _ask_about_inviter(change: Change, invitation: Invitation) -> RoleSet:
    """The same rules as when it was sent, asked again now."""
    try:
        return await ask_about_inviter(change, invitation)
    except (UnknownOrganization, MissingPermission, RoleBeyondGiver, UnknownRole) as lost:
        raise InviterLostRights from lost


async def _join(change: Change, invitation: Invitation, user: User, known: RoleSet) -> None:
    organization = invitation.organization_id
    if await change.session.get(Membership, (organization, user.id)) is not None:
        raise AlreadyMember(email=invitation.email, organization=organization)
    present = select(literal(1)).where(Membership.organization_id == organization)
    await refuse_full(change, organization, "members", present)
    roles = invitation.roles
    custom = known.are_custom(roles)
    change.session.add(Membership.begin(organization, user, roles, change.now, custom))
