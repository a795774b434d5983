"""Which users are one person, as far as their addresses tell."""

from sqlalchemy import Select, literal_column, or_, select, text

from teamaccess.storage import User, UserId
from teamaccess.storage.directory.user import MAILBOX_SQL, TAGGED, mailbox


def same_person(user: User) -> Select[UserId]:
    """Select the ids of the user, and of all others whose address is the same mailbox."""
    if user.email is None:
        return select(User.id).where(User.id == user.id)
    box = mailbox(user.email)
    spelled = literal_column(MAILBOX_SQL.format(email="users.email")) == box
    return select(User.id).where(
        or_(User.id == user.id, User.email == box, text(TAGGED_USERS) & spelled)
    )


TAGGED_USERS = TAGGED.replace("email", "users.email", 1)
