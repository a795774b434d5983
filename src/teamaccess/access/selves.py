"""Whether somebody acts on themselves, in person. The only place that decides it."""

from teamaccess.changes import Change
from teamaccess.common.errors import Forbidden
from teamaccess.storage import UserId


class OnlyInPerson(Forbidden):
    """People do this themselves, signed in: no service account does it, nor anybody on another's behalf."""  # noqa: E501 - a sentence is one line


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
