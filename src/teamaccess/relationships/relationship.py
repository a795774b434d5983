"""Relationships between objects and subjects, in SpiceDB's own text form, and updates of them.

`organization:acme#support@team:acme/pay#member[expiration:2027-01-01T00:00:00Z]`

The limits are those of SpiceDB's API. Two of its spellings are not supported, because nothing here uses
them: types with a prefix (`tenant/document`) and the wildcard subject (`user:*`).

TOUCH and DELETE come from changes:

`TOUCH organization:acme#support@user:ana`
`TOUCH organization:acme#support@user:ana WAS organization:acme#support@user:ana[expiration:...]`
`DELETE organization:acme#member@user:ana`

A TOUCH names the relationship that it replaces, so that a list of updates can be read backwards too.
RESTORE and PURGE come from repairs of a SpiceDB that differs from the ledger. They do not change the
ledger's state:

`RESTORE organization:acme#support@user:ana`
`PURGE organization:acme#support@user:eve`
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache, total_ordering
from typing import Self


class InvalidRelationship(ValueError):
    """SpiceDB would refuse it, or it contradicts itself."""


class ReplayConflict(InvalidRelationship):
    """An update does not fit the relationships it is applied to."""


# SpiceDB accepts only the offset Z. Python keeps microseconds, so it would lose a seventh digit.
INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?Z"
)


def in_utc(instant: datetime) -> datetime:
    """Return the same instant in UTC.

    Raises InvalidRelationship if it has no timezone or is outside of the years 1 to 9999.
    """
    if instant.utcoffset() is None:
        raise InvalidRelationship(f"an expiration needs a timezone: {instant.isoformat()}")
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise InvalidRelationship(f"out of range in UTC: {instant.isoformat()}") from None


def format_instant(instant: datetime) -> str:
    """Return the text form, such as `2027-01-01T00:00:00Z`. A fraction has no trailing zeros."""
    text = instant.replace(tzinfo=None).isoformat()
    return f"{text.rstrip('0') if instant.microsecond else text}Z"


def parse_instant(text: str) -> datetime:
    """Return the instant in UTC. Raises InvalidRelationship for any other spelling."""
    if not INSTANT.fullmatch(text):
        raise InvalidRelationship(f"not an instant in RFC 3339 and UTC: {text!r}")
    try:
        return datetime.fromisoformat(text)
    except ValueError as impossible:
        raise InvalidRelationship(f"no such instant: {text} ({impossible})") from None


NAME = re.compile(r"[a-z][a-z0-9_]{1,62}[a-z0-9]")
ID = re.compile(r"[a-zA-Z0-9/_|\-=+]{1,1024}")
EXPIRATION_PREFIX = "[expiration:"
"""Separates the identity of a relationship from its expiration in the text form."""
EXPIRATION = re.compile(r"(?P<rest>.*)\[expiration:(?P<instant>[^\[\]]*)\]", re.DOTALL)


@lru_cache(4096)
def _is_name(text: str) -> bool:
    """Return whether it is a valid name. The cache helps because few names are used again and again."""
    return NAME.fullmatch(text) is not None


def check_name(kind: str, name: str) -> None:
    """Raise InvalidRelationship unless SpiceDB accepts the name of a type or relation."""
    if not _is_name(name):
        raise InvalidRelationship(
            f"{kind} {name!r} must be 3 to 64 characters of a-z, 0-9 and _, "
            "begin with a letter and not end with _"
        )


def check_id(object_id: str) -> None:
    """Raise InvalidRelationship unless SpiceDB accepts the id of an object."""
    if not ID.fullmatch(object_id):
        raise InvalidRelationship(
            f"id {object_id!r} must be 1 to 1024 characters of a-z, A-Z, 0-9 and / _ | - = +"
        )


@dataclass(frozen=True, slots=True)
class ObjectReference:
    """One object of the graph: `organization:acme`."""

    type: str
    id: str

    def __post_init__(self) -> None:
        check_name("type", self.type)
        check_id(self.id)

    def __str__(self) -> str:
        return f"{self.type}:{self.id}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text form. Raises InvalidRelationship."""
        type_, colon, object_id = text.partition(":")
        if not colon:
            raise InvalidRelationship(f"an object is written type:id, not {text!r}")
        return cls(type_, object_id)

    def subject(self, relation: str) -> "SubjectReference":
        """Return the set of all who have the relation to this object, as one subject."""
        return SubjectReference(self, relation)

    def relates(
        self,
        relation: str,
        subject: "ObjectReference | SubjectReference",
        until: datetime | None = None,
    ) -> "Relationship":
        """Return the relationship of this object to the subject, with the expiration `until`."""
        if isinstance(subject, ObjectReference):
            subject = SubjectReference(subject)
        return Relationship(self, relation, subject, until)


@dataclass(frozen=True, slots=True)
class SubjectReference:
    """The subject of a relationship: one object, `user:ana`, or a set, `team:acme/pay#member`."""

    object: ObjectReference
    relation: str | None = None

    def __post_init__(self) -> None:
        if self.relation is not None:
            check_name("relation", self.relation)

    def __str__(self) -> str:
        return str(self.object) if self.relation is None else f"{self.object}#{self.relation}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text form. Raises InvalidRelationship."""
        object_text, hash_sign, relation = text.partition("#")
        return cls(ObjectReference.parse(object_text), relation if hash_sign else None)


@total_ordering
@dataclass(frozen=True, slots=True)
class Relationship:
    """One edge of the graph, until its expiration if it has one. Relationships sort by their text."""

    resource: ObjectReference
    relation: str
    subject: SubjectReference
    expiration: datetime | None = None
    _identity: str = field(default="", init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_name("relation", self.relation)
        if self.expiration is not None:
            object.__setattr__(self, "expiration", in_utc(self.expiration))

    def __str__(self) -> str:
        if self.expiration is None:
            return self.identity
        return f"{self.identity}[expiration:{format_instant(self.expiration)}]"

    def __lt__(self, other: "Relationship") -> bool:
        return str(self) < str(other)

    def __hash__(self) -> int:
        return hash((self.identity, self.expiration))

    @property
    def identity(self) -> str:
        """The text without the expiration. SpiceDB holds at most one relationship of each identity."""
        if not self._identity:  # cached, because a change of thousands needs it many times
            text = f"{self.resource}#{self.relation}@{self.subject}"
            object.__setattr__(self, "_identity", text)
        return self._identity

    def expired(self, at: datetime) -> bool:
        """Return whether SpiceDB ignores it at that instant."""
        return self.expiration is not None and self.expiration <= at

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text form. Raises InvalidRelationship."""
        expiring = EXPIRATION.fullmatch(text)
        left, at_sign, subject = (expiring["rest"] if expiring else text).partition("@")
        resource, hash_sign, relation = left.partition("#")
        if not (at_sign and hash_sign):
            raise InvalidRelationship(
                f"a relationship is written resource#relation@subject, not {text!r}"
            )
        return cls(
            ObjectReference.parse(resource),
            relation,
            SubjectReference.parse(subject),
            parse_instant(expiring["instant"]) if expiring else None,
        )


@lru_cache(4096)
def user(user_id: str) -> ObjectReference:
    return ObjectReference("user", user_id)


@lru_cache(1024)
def organization(organization_id: str) -> ObjectReference:
    return ObjectReference("organization", organization_id)


def team(organization_id: str, team_id: str) -> ObjectReference:
    return ObjectReference("team", f"{organization_id}/{team_id}")


def role(organization_id: str, role_id: str) -> ObjectReference:
    """Name a custom role. A predefined role is a relation of the organization instead."""
    return ObjectReference("role", f"{organization_id}/{role_id}")


def invitation(organization_id: str, invitation_id: str) -> ObjectReference:
    return ObjectReference("invitation", f"{organization_id}/{invitation_id}")


def email(hmac: str) -> ObjectReference:
    """Name an invitee by the HMAC of the normalized address, never by the address."""
    return ObjectReference("email", hmac)


def ledger_position(position: int, hash_hex: str) -> ObjectReference:
    """Name a ledger position by its number and the first 12 digits of its entry's hash."""
    return ObjectReference("ledger_position", f"{position}-{hash_hex[:12]}")


WAS = " WAS "


@dataclass(frozen=True, slots=True)
class Touch:
    """The relationship exists from now on. `was` is the relationship that it replaces, if any."""

    relationship: Relationship
    was: Relationship | None = None

    def __post_init__(self) -> None:
        if self.was is None:
            return
        if self.was.identity != self.relationship.identity or self.was == self.relationship:
            raise InvalidRelationship(f"a touch changes the expiration and nothing else: {self}")

    def __str__(self) -> str:
        was = "" if self.was is None else f"{WAS}{self.was}"
        return f"TOUCH {self.relationship}{was}"


@dataclass(frozen=True, slots=True)
class Delete:
    """The relationship no longer exists. It is named with its last expiration, if it had one."""

    relationship: Relationship

    def __str__(self) -> str:
        return f"DELETE {self.relationship}"


@dataclass(frozen=True, slots=True)
class Restore:
    """The relationship exists, as the ledger says. SpiceDB had lost it or its expiration."""

    relationship: Relationship

    def __str__(self) -> str:
        return f"RESTORE {self.relationship}"


@dataclass(frozen=True, slots=True)
class Purge:
    """The relationship does not exist, as the ledger says. SpiceDB held it nevertheless."""

    relationship: Relationship

    def __str__(self) -> str:
        return f"PURGE {self.relationship}"


Update = Touch | Delete | Restore | Purge
Revocation = Delete | Purge
"""An update that takes access away and gives none."""

WITHOUT_WAS: dict[str, type[Delete | Restore | Purge]] = {
    "DELETE": Delete,
    "RESTORE": Restore,
    "PURGE": Purge,
}
"""The updates that name one relationship only."""


def parse_update(text: str) -> Update:
    """Read the text form. Raises InvalidRelationship."""
    operation, _, rest = text.partition(" ")
    if operation in WITHOUT_WAS:
        return WITHOUT_WAS[operation](Relationship.parse(rest))
    if operation == "TOUCH":
        new, was, old = rest.partition(WAS)
        return Touch(Relationship.parse(new), Relationship.parse(old) if was else None)
    raise InvalidRelationship(
        "an update is written TOUCH ..., TOUCH ... WAS ..., DELETE ..., RESTORE ... or PURGE ..., "
        f"not {text!r}"
    )


WITHOUT_END = re.compile(
    rf"(?:TOUCH|DELETE|RESTORE|PURGE) {NAME.pattern}:{ID.pattern}#{NAME.pattern}"
    rf"@{NAME.pattern}:{ID.pattern}(?:#{NAME.pattern})?"
)
"""Matches most updates at a small part of the time that parsing takes."""


def is_update(text: str) -> bool:
    """Return whether `parse_update` reads the text."""
    if WITHOUT_END.fullmatch(text):
        return True
    try:
        parse_update(text)
    except InvalidRelationship:
        return False
    return True


def by_identity(relationships: Iterable[Relationship]) -> dict[str, Relationship]:
    """Return the relationships of a state by their identity.

    Raises InvalidRelationship if the state has one identity with two expirations.
    """
    state: dict[str, Relationship] = {}
    for relationship in relationships:
        first = state.setdefault(relationship.identity, relationship)
        if first != relationship:
            raise InvalidRelationship(f"both {first} and {relationship}")
    return state


def difference(before: Iterable[Relationship], after: Iterable[Relationship]) -> list[Update]:
    """Return the updates that lead from one state to the other: deletes first, then by identity.

    Raises InvalidRelationship if a state has one identity with two expirations.
    """
    old, new = by_identity(before), by_identity(after)
    deletes = [Delete(old[identity]) for identity in sorted(old.keys() - new.keys())]
    touches = [
        Touch(new[identity], old.get(identity))
        for identity in sorted(new)
        if new[identity] != old.get(identity)
    ]
    return [*deletes, *touches]


def replay(updates: Iterable[Update], onto: Iterable[Relationship] = ()) -> set[Relationship]:
    """Return the state after the updates.

    Raises ReplayConflict for an update that does not fit the state before it:

    - a DELETE or RESTORE of a relationship that the state does not have,
    - a TOUCH whose `was` differs from the state,
    - a PURGE of a relationship that the state has.
    """
    state = by_identity(onto)
    for update in updates:
        before, after = _before_and_after(update)
        identity = update.relationship.identity
        if state.pop(identity, None) != before:
            raise ReplayConflict(f"{update} does not fit the state before it")
        if after is not None:
            state[identity] = after
    return set(state.values())


def _before_and_after(update: Update) -> tuple[Relationship | None, Relationship | None]:
    """Return the relationship before the update and after it, None where it does not exist."""
    match update:
        case Touch(new, was):
            return was, new
        case Delete(old):
            return old, None
        case Restore(kept):
            return kept, kept
        case Purge():
            return None, None
