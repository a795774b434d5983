"""How often a person may cause an event about themselves, which no chain can lose again."""

from datetime import timedelta

from sqlalchemy import func, select

from teamaccess.changes import Change
from teamaccess.changes.events import EventKind
from teamaccess.storage import Event, UserId

MOST_IN_AN_HOUR = 10
"""Events of one kind that one user causes."""


async def may_record(change: Change, kind: EventKind, user: UserId) -> bool:
    """Return whether the user has caused fewer events of this kind than allowed within the hour.

    SECURITY: a program can sign in and out, or change its name, all day, and no chain of events can be
    pruned. The user's row must be locked, so that requests at once cannot each be the last one.
    """
    about = f"user:{user}"
    recent = select(func.count()).where(
        Event.actor == about,
        Event.kind == kind,
        Event.occurred_at > change.now - timedelta(hours=1),
    )
    return (await change.session.execute(recent)).scalar_one() < MOST_IN_AN_HOUR
