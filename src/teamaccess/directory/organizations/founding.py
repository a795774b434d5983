"""How many organizations one person may found."""

from datetime import timedelta

from sqlalchemy import func, select

from teamaccess.changes import Change
from teamaccess.common.errors import Conflict, TooMany
from teamaccess.directory.users.persons import same_person
from teamaccess.storage import Organization, User
from teamaccess.storage.directory.user import mailbox


class FoundingInProgress(TooMany):
    """Another organization of yours is being created at this moment. Try again."""

    retry_after = 1


class FoundedTooOften(TooMany):
    """You have created as many organizations as one person may in a day ({most}). Try again tomorrow."""

    retry_after = 86_400


class TooManyOrganizations(Conflict):
    """You have created {most} organizations that still exist, which is the limit. Delete one that is no longer needed, or ask whoever operates this service to create the next one."""  # noqa: E501 - a sentence is one line


async def refuse_serial_founder(change: Change, founder: User) -> None:
    """Raise FoundedTooOften or TooManyOrganizations for who has founded enough.

    Nobody waits here: of two attempts at the same moment one is refused with FoundingInProgress. All
    addresses of one mailbox are one person.
    """
    person = mailbox(founder.email) if founder.email is not None else founder.id
    alone = func.pg_try_advisory_xact_lock(
        func.hashtextextended(f"teamaccess/founding/{person}", 0)
    )
    if not await change.session.scalar(select(alone)):
        raise FoundingInProgress
    theirs = Organization.founded_by.in_(same_person(founder))
    living = Organization.deleted_at.is_(None)
    today = Organization.created_at > change.now - timedelta(days=1)
    found = await change.session.execute(
        select(func.count().filter(today), func.count().filter(living)).where(theirs)
    )
    within_day, in_all = found.one()
    most = change.limits
    if within_day >= most.organizations_founded_a_day:
        raise FoundedTooOften(most=most.organizations_founded_a_day)
    if in_all >= most.organizations_founded:
        raise TooManyOrganizations(most=most.organizations_founded)
