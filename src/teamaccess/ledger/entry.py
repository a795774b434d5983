"""Entries of the ledger: who made a change, and what it means for SpiceDB."""

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row

from teamaccess.relationships import Update, parse_update
from teamaccess.storage import Channel, LedgerEntry, OrganizationId, TokenId, UserId

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
    token: TokenId | None = None
    """The API token of the service account that sent the request, if one did."""

    @property
    def caller(self) -> str:
        """The sender of the request: the actor, or the service account that acts for a member."""
        return f"user:{self.on_behalf.account}" if self.on_behalf is not None else self.actor

    @property
    def user(self) -> UserId:
        """The user that makes the change: the member that a service account acts for, or else the actor.

        For an operator, `system` and `anonymous` it is the actor's name, which no user has as an id.
        """
        if self.on_behalf is not None:
            return self.on_behalf.member
        if not self.actor.startswith("user:"):
            return UserId(self.actor)
        return UserId(self.actor.removeprefix("user:").partition(" ")[0])

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


@dataclass(frozen=True)
class Entry:
    """The part of one ledger entry that SpiceDB receives."""

    organization: OrganizationId
    position: int
    hash: bytes
    previous_hash: bytes
    updates: tuple[Update, ...]
    actor: str
    request_id: str

    @classmethod
    def of(
        cls, row: LedgerEntry | Row[*tuple[Any, ...]], updates: tuple[Update, ...] | None = None
    ) -> "Entry":
        """Return the entry of a row, which may consist of the columns only.

        `updates` replaces the row's updates. Without it, unreadable updates raise InvalidRelationship.
        """
        if updates is None:
            updates = tuple(parse_update(text) for text in row.updates)
        return cls(
            organization=row.organization_id,
            position=row.position,
            hash=row.hash,
            previous_hash=row.previous_hash,
            updates=updates,
            actor=row.actor,
            request_id=row.request_id,
        )
