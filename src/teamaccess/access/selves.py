"""Whether somebody acts on themselves, in person. The only place that decides it."""

from teamaccess.changes import Change
from teamaccess.common.errors import Forbidden
from teamaccess.storage import UserId


class OnlyInPerson(Forbidden):
    """Only a signed-in person may do this. The caller is a service account, or acts for a member."""

    message = (
        "Only a person who signed in themselves can do this. A service account can't, not even "
        "on behalf of a member."
    )


def is_self(change: Change, actor: UserId, user: UserId) -> bool:
    """Return whether the actor acts on themselves, in person: what is then allowed needs no rank."""
    return actor == user and is_in_person(change)


def is_either_self(change: Change, user: UserId) -> bool:
    """Return whether the user makes the change, in person or as one of the two of a pair."""
    return change.attribution.involves(user)


def is_own(actor: UserId, user: UserId) -> bool:
    """Return whether something belongs to the actor, also where a service account acts for them."""
    return actor == user


def is_in_person(change: Change) -> bool:
    """Return whether nobody makes this change on somebody else's behalf."""
    return change.attribution.on_behalf is None


def refuse_unless_in_person(change: Change) -> None:
    """Raise OnlyInPerson where a service account acts for a member."""
    if not is_in_person(change):
        raise OnlyInPerson
