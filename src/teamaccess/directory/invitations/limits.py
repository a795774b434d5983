"""How many mails an organization and a person may send, in all and to one mailbox.

SECURITY: each limit counts what one organization did, or what one person did. A limit of mails to one
address from everybody would let a stranger keep all other organizations from inviting it. Each mail is
counted by a row of its own (`InvitationMail`), which no change of an invitation or organization deletes.
"""

from datetime import timedelta

from sqlalchemy import ColumnElement, ScalarSelect, func, literal, select, text

from teamaccess.changes import OrganizationChange
from teamaccess.changes.caps import refuse_full
from teamaccess.common.errors import TooMany
from teamaccess.directory.users.find import same_person
from teamaccess.storage import Invitation, InvitationMail, User
from teamaccess.storage.advisory_locks import Purpose
from teamaccess.storage.directory.invitation import OPEN
from teamaccess.storage.directory.user import mailbox

LONGEST_WINDOW = timedelta(days=1)
"""No limit counts mails that are older."""


class TooManyInvitations(TooMany):
    """The organization has sent as many invitations within an hour as the settings allow."""

    message = (
        "{organization} has sent {sent:invitation} within an hour, which is the limit. Try "
        "again later."
    )
    retry_after = 600


class SentTooOften(TooMany):
    """The mailbox has reached its daily limit of invitations.

    Organizations and inviters are counted separately.
    """

    message = (
        "{email} has been sent {most:invitation} by {by} within a day, which is the limit. Try"
        " again tomorrow."
    )
    retry_after = 86_400


class InvitingElsewhere(TooMany):
    """The inviter is inviting into another organization. Their daily limit is counted one at a time."""

    message = "You are inviting somebody to another organization at this moment. Try again."
    retry_after = 1


class InvitedTooOften(TooMany):
    """The inviter has sent as many invitations within a day as the settings allow."""

    message = (
        "You have sent {most:invitation} within a day, which is the limit. Try again tomorrow."
    )
    retry_after = 86_400


async def refuse_flood(change: OrganizationChange, address: str) -> None:
    """Raise TooManyInvitations, SentTooOften or InvitedTooOften if one more mail is too many.

    The lock is not waited for: of two organizations that one person invites into at the same moment, one
    is refused with InvitingElsewhere. All addresses of one mailbox are one person.
    """
    # SECURITY: what a service account sends counts for the account. Counted for the member it acts for,
    # it would use up what that member may send from other organizations.
    sender = await change.session.get_one(User, change.attribution.account or change.giver)
    person = mailbox(sender.email) if sender.email is not None else sender.id
    # SECURITY: a rehearsal sends nothing, and its lock would block the person's invitations elsewhere
    lock = change.locks.try_lock(Purpose.MAILS, person)
    if not change.is_rehearsal and not await change.session.scalar(lock):
        raise InvitingElsewhere
    hour, day = (change.now - timedelta(hours=1), change.now - LONGEST_WINDOW)
    organization = change.organization
    ours = InvitationMail.organization_id == organization
    mine = InvitationMail.sent_by.in_(same_person(sender))
    to_mailbox = InvitationMail.mailbox == counted_mailbox(address)
    sent = await change.session.execute(
        select(
            _sent(ours, InvitationMail.sent_at > hour),
            _sent(ours, to_mailbox, InvitationMail.sent_at > day),
            _sent(mine, InvitationMail.sent_at > day),
            _sent(mine, to_mailbox, InvitationMail.sent_at > day),
        )
    )
    from_us, from_us_to_mailbox, from_me, from_me_to_mailbox = sent.one()
    limits = change.limits
    if from_us >= limits.invitations_an_hour:
        raise TooManyInvitations(organization=organization, sent=from_us)
    if from_us_to_mailbox >= (limit := limits.invitations_a_day_to_one_mailbox):
        raise SentTooOften(email=address, by=organization, most=limit)
    if from_me >= (limit := limits.invitations_a_day_by_one_person):
        raise InvitedTooOften(most=limit)
    if from_me_to_mailbox >= (limit := limits.invitations_a_day_by_one_person_to_one_mailbox):
        raise SentTooOften(email=address, by="you", most=limit)


async def refuse_too_many_open(change: OrganizationChange) -> None:
    """Raise LimitReached if too many invitations are open already."""
    present = select(literal(1)).where(
        Invitation.organization_id == change.organization, text(OPEN)
    )
    await refuse_full(change, "pending_invitations", present)


def counted_mailbox(address: str) -> str:
    """Return the mailbox of a normalized address, by which its mails are counted."""
    return mailbox(address).casefold()


def _sent(*conditions: ColumnElement[bool]) -> ScalarSelect[int]:
    return select(func.count()).select_from(InvitationMail).where(*conditions).scalar_subquery()
