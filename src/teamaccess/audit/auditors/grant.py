"""Appoint auditors of all organizations, as an operator."""

from datetime import datetime

from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert

from teamaccess.access.authorize import refuse_bad_end
from teamaccess.changes import Change
from teamaccess.changes.events import record
from teamaccess.changes.events.users import AuditorGranted, AuditorRevoked
from teamaccess.common.errors import NotFound
from teamaccess.directory.users.addresses import normalize_email
from teamaccess.directory.users.find import find_user, user_with
from teamaccess.storage import Auditor, Event, User, UserId


class NoAuditor(NotFound):
    """The user is not an auditor of all organizations, so there is nothing to revoke."""

    message = (
        "{user} is not an auditor of all organizations. `teamaccess operator auditors` lists "
        "the auditors."
    )


async def grant_auditor(change: Change, email: str, reason: str, until: datetime | None) -> User:
    """Let a person audit every organization, until a time or without an end; return the user.

    An unknown address becomes a user without memberships. The end of an existing auditor is replaced.
    Raises InvalidEmail, EndInThePast and EndTooFar.
    """
    refuse_bad_end(change.catalog, until, change.now)
    user = await user_with(change, normalize_email(email))
    reason_hash = change.store_reason(reason)
    assert reason_hash is not None  # noqa: S101 - there is a reason
    row = {
        "granted_at": change.now,
        "granted_by": change.attribution.actor,
        "reason_hash": reason_hash,
        "expires_at": until,
    }
    await change.session.execute(
        insert(Auditor)
        .values(user_id=user.id, **row)
        .on_conflict_do_update(index_elements=[Auditor.user_id], set_=row)
    )
    await record(change, AuditorGranted(until=until), Event.PLATFORM, user.id, reason_hash)
    return user


async def revoke_auditor(change: Change, name: str, reason: str) -> User:
    """End the appointment of the user whom `find_user` finds; return the user.

    They keep what they may audit as a member. Raises UnknownUser and NoAuditor.
    """
    user = await find_user(change.session, name)
    ended: UserId | None = await change.session.scalar(
        delete(Auditor).where(Auditor.user_id == user.id).returning(Auditor.user_id)
    )
    if ended is None:
        raise NoAuditor(user=name)
    await record(change, AuditorRevoked(), Event.PLATFORM, user.id, reason)
    return user
