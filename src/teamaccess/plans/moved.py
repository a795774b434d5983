"""A plan is made real only while everything is as it was when it was made."""

from teamaccess.errors import PreconditionFailed
from teamaccess.ledger import Change
from teamaccess.ledger.standing import Standing


class StateMoved(PreconditionFailed):
    """{organization} has changed since the plan was made: it stands at {state}. Plan again."""


def state_of(standing: Standing) -> str:
    """Return how the state of an organization is named to who comes back to it."""
    return f"{standing.position}-{standing.hash.hex()}"


def refuse_moved(change: Change, state: str) -> None:
    """Raise StateMoved unless the organization that is changed stands at this state."""
    [standing] = change.standing
    if state != state_of(standing):
        raise StateMoved(organization=standing.organization, state=state_of(standing))
