"""A plan is made real only while everything is as it was when it was made."""

from collections.abc import Callable

from teamaccess.catalog import Catalog
from teamaccess.errors import PreconditionFailed
from teamaccess.ledger import Change
from teamaccess.ledger.standing import Standing


class StateMoved(PreconditionFailed):
    """{organization} has changed since the plan was made: it stands at {state}. Plan again."""


def state_of(standing: Standing, catalog: Catalog) -> str:
    """Return how the state of an organization is named to who comes back to it.

    The catalog is a part of it: the same roles would mean something else under another one.
    """
    return f"{standing.position}-{standing.hash.hex()}@{catalog.version}"


def refuse_moved(change: Change, planned: Callable[[str], bool]) -> None:
    """Raise StateMoved unless the organization that is changed stands where it was planned."""
    [standing] = change.standing
    now = state_of(standing, change.catalog)
    if not planned(now):
        raise StateMoved(organization=standing.organization, state=now)
