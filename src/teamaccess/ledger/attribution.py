"""Who makes a change, through which door, in answer to which request."""

from dataclasses import dataclass

from teamaccess.models import Channel, UserId


@dataclass(frozen=True)
class OnBehalf:
    """A service account that acts for a member, and may what both of them may."""

    member: UserId
    account: UserId

    def __str__(self) -> str:
        return f"user:{self.member} via user:{self.account}"


@dataclass(frozen=True)
class Attribution:
    """What a ledger entry and an event say of their origin; ids only."""

    actor: str
    """`user:<id>`, `user:<id> via user:<id>`, `operator:<name>`, `anonymous` or `system`."""
    channel: Channel
    request_id: str
    on_behalf: OnBehalf | None = None
    """Both of them, where a service account acts for a member."""

    def involves(self, user: UserId) -> bool:
        """Return whether the user makes the change, themselves or through another."""
        return f"user:{user}" in self.actor.split(" via ")
