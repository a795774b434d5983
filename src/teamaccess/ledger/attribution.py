"""The attribution of a change: its actor, channel and request."""

from dataclasses import dataclass, replace

from teamaccess.storage import Channel, UserId

INVITED_BY = " invited by "


@dataclass(frozen=True)
class OnBehalf:
    """A service account that acts for a member. It may do only what both may do."""

    member: UserId
    account: UserId

    def __str__(self) -> str:
        return f"user:{self.member} via user:{self.account}"


@dataclass(frozen=True)
class Attribution:
    """The origin of a ledger entry or an event, by ids only."""

    actor: str
    """`user:<id>`, `user:<id> via user:<id>`, `user:<id> invited by user:<id>`, `operator:<name>`,
    `anonymous` or `system`."""
    channel: Channel
    request_id: str
    on_behalf: OnBehalf | None = None
    """The member and the service account, if one acts for a member."""

    @property
    def caller(self) -> str:
        """The sender of the request: the actor, or the service account that acts for a member."""
        return f"user:{self.on_behalf.account}" if self.on_behalf is not None else self.actor

    @property
    def user(self) -> UserId:
        """Who makes the change: the member whom a service account acts for, or else the actor.

        An operator's name, `system` and `anonymous` are no user's id.
        """
        if self.on_behalf is not None:
            return self.on_behalf.member
        return UserId(self.actor.removeprefix("user:"))

    @property
    def account(self) -> UserId | None:
        """The service account that acts for a member, if any."""
        return self.on_behalf.account if self.on_behalf is not None else None

    def with_inviter(self, user: UserId, by: UserId) -> "Attribution":
        """Return the attribution of an acceptance, which names both the user and the inviter `by`."""
        return replace(self, actor=f"user:{user}{INVITED_BY}user:{by}")

    def involves(self, user: UserId) -> bool:
        """Return whether the user is the actor, or the service account that acts for one."""
        return f"user:{user}" in self.actor.split(" via ")


def without_inviter(actor: str) -> str:
    """Return the actor without the inviter."""
    return actor.partition(INVITED_BY)[0]
