"""How many mails an organization and a person may send, in all and to one mailbox.

SECURITY: each limit counts what one organization did, or what one person did. A limit of mails to one
address from everybody would let a stranger keep all other organizations from inviting it.
"""

from datetime import timedelta

from sqlalchemy import ColumnElement, ScalarSelect, func, literal, literal_column, select, text

from teamaccess.changes import OrganizationChange
from teamaccess.common.errors import TooMany
from teamaccess.directory.caps import refuse_full
from teamaccess.directory.users.find import same_person
from teamaccess.storage import Invitation, User
from teamaccess.storage.directory.invitation import OPEN
from teamaccess.storage.directory.user import MAILBOX_SQL, mailbox

MAILBOX: ColumnElement[str] = literal_column(MAILBOX_SQL.format(email="invitations.email"))


class TooManyInvitations(TooMany):
    """The organization has sent as many invitations within an hour as the settings allow."""

    message = (
        "{organization} has sent {sent} invitations within an hour, which is the limit. Try "
        "again later."
    )
    retry_after = 600


class SentTooOften(TooMany):
    """The mailbox has reached its daily limit of invitations.

    Organizations and inviters are counted separately.
    """

    message = (
        "{email} has been sent {most} invitations by {by} within a day, which is the limit. Try"
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
        "You have sent {most} invitations within a day, which is the limit. Try again tomorrow."
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
    alone = func.pg_try_advisory_xact_lock(func.hashtextextended(f"teamaccess/mails/{person}", 0))
    if not await change.session.scalar(select(alone)):
        raise InvitingElsewhere
    hour, day = (change.now - timedelta(hours=1), change.now - timedelta(days=1))
    organization = change.organization
    ours = Invitation.organization_id == organization
    inviter = func.coalesce(Invitation.invited_via, Invitation.invited_by)
    mine = inviter.in_(same_person(sender))
    to_mailbox = MAILBOX == mailbox(address)  # noqa: SIM300 - a column
    sent = await change.session.execute(
        select(
            _sent(ours, Invitation.sent_at > hour),
            _sent(ours, to_mailbox, Invitation.sent_at > day),
            _sent(mine, Invitation.sent_at > day),
            _sent(mine, to_mailbox, Invitation.sent_at > day),
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


async def refuse_pile(change: OrganizationChange) -> None:
    """Raise LimitReached if too many invitations are open already."""
    present = select(literal(1)).where(
        Invitation.organization_id == change.organization, text(OPEN)
    )
    await refuse_full(change, "pending_invitations", present)


def _sent(*conditions: ColumnElement[bool]) -> ScalarSelect[int]:
    return (
        select(func.coalesce(func.sum(Invitation.times_sent), 0))
        .where(*conditions)
        .scalar_subquery()
    )
