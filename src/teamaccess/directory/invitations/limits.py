"""How many mails an organization and a person may cause, and how many one mailbox must bear.

SECURITY: each limit counts what one organization did, or what one person did. A limit of mails to one
address from everybody would let a stranger keep all other organizations from inviting it.
"""

from datetime import timedelta

from sqlalchemy import ColumnElement, ScalarSelect, func, literal, literal_column, select, text

from teamaccess.changes import Change
from teamaccess.common.errors import TooMany
from teamaccess.directory.caps import refuse_full
from teamaccess.directory.users.persons import same_person
from teamaccess.storage import Invitation, OrganizationId, User, UserId
from teamaccess.storage.directory.invitation import OPEN
from teamaccess.storage.directory.user import MAILBOX_SQL, mailbox

MAILBOX: ColumnElement[str] = literal_column(MAILBOX_SQL.format(email="invitations.email"))


class TooManyInvitations(TooMany):
    """{organization} has sent {sent} invitations within the hour, which is the limit. Try again later."""

    retry_after = 600


class SentTooOften(TooMany):
    """{email} has been sent as many invitations by {by} as one mailbox may get in a day ({most}). Try again tomorrow."""  # noqa: E501 - a sentence is one line

    retry_after = 86_400


class InvitingElsewhere(TooMany):
    """You are inviting somebody into another organization at this moment. Try again."""

    retry_after = 1


class InvitedTooOften(TooMany):
    """You have sent as many invitations as one person may in a day ({most}). Try again tomorrow."""

    retry_after = 86_400


async def refuse_flood(
    change: Change, actor: UserId, organization: OrganizationId, address: str
) -> None:
    """Raise TooManyInvitations, SentTooOften or InvitedTooOften instead of one mail too many.

    Nobody waits here: of two organizations that one person invites into at the same moment, one is
    refused with InvitingElsewhere. All addresses of one mailbox are one person.
    """
    # SECURITY: what a service account sends counts for the account. Counted for the member it acts for,
    # it would use up what that member may send from other organizations.
    sender = await change.session.get_one(User, change.attribution.account or actor)
    person = mailbox(sender.email) if sender.email is not None else sender.id
    alone = func.pg_try_advisory_xact_lock(func.hashtextextended(f"teamaccess/mails/{person}", 0))
    if not await change.session.scalar(select(alone)):
        raise InvitingElsewhere
    hour, day = (change.now - timedelta(hours=1), change.now - timedelta(days=1))
    ours = Invitation.organization_id == organization
    inviter = func.coalesce(Invitation.invited_via, Invitation.invited_by)
    mine = inviter.in_(same_person(sender))
    there = MAILBOX == mailbox(address)  # noqa: SIM300 - a column
    sent = await change.session.execute(
        select(
            _sent(ours, Invitation.sent_at > hour),
            _sent(ours, there, Invitation.sent_at > day),
            _sent(mine, Invitation.sent_at > day),
            _sent(mine, there, Invitation.sent_at > day),
        )
    )
    from_us, from_us_there, from_me, from_me_there = sent.one()
    most = change.limits
    if from_us >= most.invitations_an_hour:
        raise TooManyInvitations(organization=organization, sent=from_us)
    if from_us_there >= (limit := most.invitations_a_day_to_one_mailbox):
        raise SentTooOften(email=address, by=organization, most=limit)
    if from_me >= (limit := most.invitations_a_day_by_one_person):
        raise InvitedTooOften(most=limit)
    if from_me_there >= (limit := most.invitations_a_day_by_one_person_to_one_mailbox):
        raise SentTooOften(email=address, by="you", most=limit)


async def refuse_pile(change: Change, organization: OrganizationId) -> None:
    """Raise LimitReached where too many invitations are open already."""
    present = select(literal(1)).where(Invitation.organization_id == organization, text(OPEN))
    await refuse_full(change, organization, "pending_invitations", present)


def _sent(*which: ColumnElement[bool]) -> ScalarSelect[int]:
    return select(func.coalesce(func.sum(Invitation.times_sent), 0)).where(*which).scalar_subquery()
