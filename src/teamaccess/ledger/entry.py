"""Entries of the ledger: who made a change, what it means for SpiceDB, and the marker of its position."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row

from teamaccess.relationships import (
    Delete,
    Relationship,
    Touch,
    Update,
    ledger_position,
    organization,
    parse_update,
)
from teamaccess.storage import Channel, LedgerEntry, OrganizationId, UserId

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
        if not self.actor.startswith("user:"):
            return UserId(self.actor)
        return UserId(self.actor.removeprefix("user:").partition(" ")[0])

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


APPLIED = "applied"
HEAD = "head"
LIFE = timedelta(days=30)
"""How late somebody may send a write again and still be refused."""


def applied(id: OrganizationId, position: int, hash: bytes, now: datetime) -> Relationship:
    """Return the marker of one position, for thirty days."""
    place = ledger_position(position, hash.hex())
    return organization(id).relates(APPLIED, place, until=now + LIFE)


def head(id: OrganizationId, position: int, hash: bytes) -> Relationship:
    """Return the marker of the newest position."""
    return organization(id).relates(HEAD, ledger_position(position, hash.hex()))


def is_marker(relationship: Relationship) -> bool:
    """Whether the relationship says how far a ledger has come, and nothing of who may do what."""
    return relationship.subject.object.type == "ledger_position"


@dataclass(frozen=True)
class Entry:
    """What SpiceDB is told of one ledger position."""

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
        """Return the entry as the ledger keeps it; a row may be the columns alone.

        Raises InvalidRelationship for updates that nobody can read, unless others are given instead.
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

    def marker(self, now: datetime) -> Relationship:
        """Return the relationship that says this position, with this history, is in SpiceDB."""
        return applied(self.organization, self.position, self.hash, now)

    def head_updates(self, since: "Entry") -> tuple[Update, ...]:
        """Return what makes this position the newest one, in a write that began with `since`."""
        newest = Touch(head(self.organization, self.position, self.hash))
        if since.position == 1:
            return (newest,)
        before = head(self.organization, since.position - 1, since.previous_hash)
        return (Delete(before), newest)

    @property
    def origin(self) -> dict[str, Any]:
        """What SpiceDB's Watch tells of the position; a write that names none is not ours."""
        return {
            "organization": self.organization,
            "position": str(self.position),
            "actor": self.actor,
            "request_id": self.request_id,
        }
