"""Sign out: end every session of a user, at their own request."""

from teamaccess.changes import Change
from teamaccess.changes.events import EventKind, record
from teamaccess.changes.events.users import UserSignedOut
from teamaccess.directory.users.own_events import may_record
from teamaccess.ledger.session import raise_busy_on_lock_timeout
from teamaccess.storage import Event, User, UserId


async def end_own_sessions(change: Change, id: UserId) -> None:
    """Refuse every access token that was issued to the user so far.

    The sessions always end. SECURITY: the event is left out where the user has signed out ten times
    within the hour, because a program can sign in and out all day, and no chain of events can be pruned.
    """
    # SECURITY: the user's row is locked before the platform's chain, so that a user who keeps their row
    # locked keeps no other user's sign-out waiting
    with raise_busy_on_lock_timeout():
        user = await change.session.get_one(User, id, with_for_update={"key_share": True})
    change.end_sessions(user)
    if await may_record(change, EventKind.SIGNED_OUT, id):
        await record(change, UserSignedOut(), Event.PLATFORM, id)
