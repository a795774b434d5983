"""Who makes a change, through which door, in answer to which request."""

from dataclasses import dataclass, replace

from teamaccess.storage import Channel, UserId

INVITED_BY = " invited by "


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
    """`user:<id>`, `user:<id> via user:<id>`, `user:<id> invited by user:<id>`, `operator:<name>`,
    `anonymous` or `system`."""
    channel: Channel
    request_id: str
    on_behalf: OnBehalf | None = None
    """Both of them, where a service account acts for a member."""

    @property
    def caller(self) -> str:
        """Who sends the requests: of a service account that acts for members the account."""
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
        """The service account that acts for somebody, if one does."""
        return self.on_behalf.account if self.on_behalf is not None else None

    def invited(self, user: UserId, by: UserId) -> "Attribution":
        """Return the same for who accepts what somebody offers: two people bring that about."""
        return replace(self, actor=f"user:{user}{INVITED_BY}user:{by}")

    def involves(self, user: UserId) -> bool:
        """Return whether the user makes the change, themselves or through another."""
        return f"user:{user}" in self.actor.split(" via ")


def in_person(actor: str) -> str:
    """Return who made a change themselves, without who invited them."""
    return actor.partition(INVITED_BY)[0]
