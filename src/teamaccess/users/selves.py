"""Whether somebody acts on themselves, decided in this one place.

People need no more than their own permissions to act on themselves. A service account that acts for a
member is different: there are two selves, and the account may be far below the member
(docs/decisions/0015-acting-for-a-member.md). So each rule says which way it is meant:

- `is_self` is for exemptions, which lift a rule. A pair never gets one.
- `is_either_self` is for prohibitions, such as deciding on one's own request. A pair counts as both.
- `is_own` is for what a member asks for and takes back, which gives nothing and touches nobody's rights.
  A service account does it in the member's name.

No other module compares the actor with the subject of a change; a test reads the code for that.
"""

from teamaccess.ledger import Change
from teamaccess.models import UserId
from teamaccess.users.in_person import OnlyInPerson


def is_self(change: Change, actor: UserId, user: UserId) -> bool:
    """Return whether the actor acts on themselves, in person: what is then allowed needs no rank."""
    return actor == user and acts_in_person(change)


def is_either_self(change: Change, user: UserId) -> bool:
    """Return whether the user makes the change, in person or as one of the two of a pair."""
    return change.attribution.involves(user)


def is_own(actor: UserId, user: UserId) -> bool:
    """Return whether something belongs to the actor, also where a service account acts for them."""
    return actor == user


def acts_in_person(change: Change) -> bool:
    """Return whether nobody makes this change on somebody else's behalf."""
    return change.attribution.on_behalf is None


def refuse_unless_in_person(change: Change) -> None:
    """Raise OnlyInPerson where a service account acts for a member."""
    if not acts_in_person(change):
        raise OnlyInPerson
