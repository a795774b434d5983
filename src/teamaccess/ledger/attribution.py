"""Who makes a change, through which door, in answer to which request."""

from dataclasses import dataclass

from teamaccess.models import Channel


@dataclass(frozen=True)
class Attribution:
    """What a ledger entry and an event say of their origin; ids only."""

    actor: str
    """`user:<id>`, `operator:<name>` or `system`."""
    channel: Channel
    request_id: str
