"""How fresh an answer has to be."""

from authzed.api.v1 import Consistency, ZedToken

FULLY_CONSISTENT = Consistency(fully_consistent=True)

MINIMIZE_LATENCY = Consistency(minimize_latency=True)
"""An answer as of a recent moment, which SpiceDB chooses."""


def exact_snapshot(zed_token: str) -> Consistency:
    """Return the consistency "as it was at this token", which SpiceDB remembers for a day."""
    return Consistency(at_exact_snapshot=ZedToken(token=zed_token))


def at_least(zed_token: str | None) -> Consistency:
    """Return the consistency "no older than this token"; without one, the newest there is."""
    if zed_token is None:
        return FULLY_CONSISTENT
    return Consistency(at_least_as_fresh=ZedToken(token=zed_token))
