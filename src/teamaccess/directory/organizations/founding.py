"""How many organizations one person may found."""

from datetime import timedelta

from sqlalchemy import func, select

from teamaccess.changes import Change
from teamaccess.common.errors import Conflict, TooMany
from teamaccess.directory.users.find import same_person
from teamaccess.storage import Organization, User
from teamaccess.storage.advisory_locks import Purpose
from teamaccess.storage.directory.user import mailbox


class FoundingInProgress(TooMany):
    """The person is creating another organization. Their limits are counted one at a time."""

    message = "You are creating another organization at this moment. Try again."
    retry_after = 1


class FoundedTooOften(TooMany):
    """The person has created as many organizations within a day as the settings allow."""

    message = (
        "You have created {most:organization} within a day, which is the limit. Try again tomorrow."
    )
    retry_after = 86_400


class TooManyOrganizations(Conflict):
    """The person has created as many organizations that still exist as the settings allow."""

    message = (
        "You have created {most:organization} that still exist, which is the limit. Delete "
        "one, or ask an operator of this service to create the next one."
    )


async def refuse_serial_founder(change: Change, founder: User) -> None:
    """Raise FoundedTooOften or TooManyOrganizations if the founder has created too many organizations.

    Of two attempts at the same moment, one is refused with FoundingInProgress, because none waits for the
    lock. All addresses of one mailbox count as one person.
    """
    person = mailbox(founder.email) if founder.email is not None else founder.id
    if not await change.session.scalar(change.locks.try_lock(Purpose.FOUNDING, person)):
        raise FoundingInProgress
    founded = Organization.founded_by.in_(same_person(founder))
    living = Organization.deleted_at.is_(None)
    today = Organization.created_at > change.now - timedelta(days=1)
    counts = await change.session.execute(
        select(func.count().filter(today), func.count().filter(living)).where(founded)
    )
    within_day, in_all = counts.one()
    limits = change.limits
    if within_day >= limits.organizations_founded_a_day:
        raise FoundedTooOften(most=limits.organizations_founded_a_day)
    if in_all >= limits.organizations_founded:
        raise TooManyOrganizations(most=limits.organizations_founded)
