"""Verify one chain, entry by entry, up to its first fault."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from teamaccess.ledger.chains.chain import ChainKind, genesis_hash


class Fault(StrEnum):
    """A kind of fault in a chain or its related records."""

    ALTERED = "altered"
    MISSING = "missing"
    DOES_NOT_FOLLOW = "does_not_follow"
    TIME_GOES_BACK = "time_goes_back"
    HEAD_DIFFERS = "head_differs"
    HEAD_MISSING = "head_missing"
    APPLICATION_MISSING = "application_missing"
    APPLICATION_ALONE = "application_alone"
    REASON_ALTERED = "reason_altered"
    KEPT_HEAD_DIFFERS = "kept_head_differs"
    KEPT_HEAD_MISSING = "kept_head_missing"
    CHAIN_MISSING = "chain_missing"
    ENTRY_WITHOUT_EVENT = "entry_without_event"
    ENTRY_UNEXPLAINED = "entry_unexplained"
    SKIPPED_WITHOUT_EVENT = "skipped_without_event"
    REFUSED_BEFORE_APPLIED = "refused_before_applied"
    ZED_TOKEN_UNREADABLE = "zed_token_unreadable"  # noqa: S105 - not a password
    ROW_UNATTESTED = "row_unattested"
    ROW_DIFFERS = "row_differs"
    ATTESTATION_ALTERED = "attestation_altered"
    TIME_AHEAD = "time_ahead"

    @property
    def sentence(self) -> str:
        """The description of the fault, for people."""
        return _SENTENCES[self]


_SENTENCES = {
    Fault.ALTERED: "its content differs from its hash",
    Fault.MISSING: "it is missing",
    Fault.DOES_NOT_FOLLOW: "it does not follow the entry before it: it was replaced, moved or inserted",
    Fault.TIME_GOES_BACK: "its time is before the time of the entry before it",
    Fault.HEAD_DIFFERS: "the chain ends here, but the row of its head differs",
    Fault.HEAD_MISSING: "the chain ends here, but the row of its head is missing",
    Fault.APPLICATION_MISSING: "there is no record of its delivery to the permission engine",
    Fault.APPLICATION_ALONE: "it is missing, but a record of its delivery exists",
    Fault.REASON_ALTERED: "its reason differs from its hash",
    Fault.KEPT_HEAD_DIFFERS: "its hash differs from the kept one",
    Fault.KEPT_HEAD_MISSING: "its hash was kept, but it is missing",
    Fault.CHAIN_MISSING: "its hash was kept, but the whole chain is missing",
    Fault.ENTRY_WITHOUT_EVENT: "no event of its transaction is about it",
    Fault.ENTRY_UNEXPLAINED: "the events of its transaction do not describe what it changes",
    Fault.SKIPPED_WITHOUT_EVENT: "it counts as skipped, but no event says that an operator skipped it",
    Fault.REFUSED_BEFORE_APPLIED: "it counts as refused, but a later entry was applied",
    Fault.ZED_TOKEN_UNREADABLE: "its ZedToken is not one that SpiceDB could have returned",
    Fault.ROW_UNATTESTED: "no event is about this row",
    Fault.ROW_DIFFERS: "this row differs from the event here, the newest one about it",
    Fault.ATTESTATION_ALTERED: "the attestation of this row differs from the newest event about it",
    Fault.TIME_AHEAD: "this row has a time in the future",
}


@dataclass(frozen=True)
class ChainFault:
    """A fault, with its chain and position."""

    kind: ChainKind
    chain: str
    position: int
    fault: Fault
    row: str = ""
    """The row that the fault is about, as type and id. It is empty for a fault of the entry itself."""

    def facts(self) -> dict[str, str | int]:
        """Return the fault for a program, with the row if there is one."""
        row = {"row": self.row} if self.row else {}
        return {
            "kind": self.kind,
            "chain": self.chain,
            "position": self.position,
            "fault": self.fault,
            **row,
        }

    def __str__(self) -> str:
        name = _printable(self.chain)
        row = f", {_printable(self.row)}" if self.row else ""
        return f"{self.kind} of {name}, position {self.position}{row}: {self.fault.sentence}"


class Link(NamedTuple):
    """One entry of a chain. `hash` is the stored hash, and `computed` the hash of its columns."""

    chain: str
    position: int
    previous_hash: bytes
    hash: bytes
    computed: bytes | None
    at: datetime | None


class HeadRow(NamedTuple):
    """A chain and the row of its head, with None for a missing row."""

    chain: str
    position: int | None
    hash: bytes | None
    decided_at: datetime | None = None
    """Only the head of a ledger has it."""


class ChainWalk:
    """Follows one chain from its beginning to its first fault."""

    def __init__(self, kind: ChainKind, head: HeadRow) -> None:
        self.chain = head.chain
        self.entries = 0
        self._kind, self._head = kind, head
        self._last = Link(head.chain, 0, b"", genesis_hash(kind, head.chain), None, None)
        self._first_fault: ChainFault | None = None

    def step(self, link: Link) -> None:
        """Take the next existing entry, in the order of positions."""
        self.entries += 1
        if self._first_fault is None:
            self._first_fault = self._fault_at(*self._fault_of(link))
            self._last = link

    def finish(self) -> ChainFault | None:
        """Return the first fault of the entries or the head, None if there is none."""
        return self._first_fault or self._fault_at(*self._fault_of_head())

    def _fault_at(self, position: int, fault: Fault | None) -> ChainFault | None:
        if fault is None:
            return None
        return ChainFault(self._kind, self.chain, position, fault)

    def _fault_of(self, link: Link) -> tuple[int, Fault | None]:
        last, position = self._last, link.position
        if position > last.position + 1:
            return last.position + 1, Fault.MISSING
        if position <= last.position or link.previous_hash != last.hash:
            return position, Fault.DOES_NOT_FOLLOW
        # columns that cannot be hashed were altered, even if the stored hash is missing too
        if link.computed is None or link.computed != link.hash:
            return position, Fault.ALTERED
        # the times of a ledger never go back, even if PostgreSQL's clock does; those of events may
        if self._kind is ChainKind.LEDGER and _before(link.at, last.at):
            return position, Fault.TIME_GOES_BACK
        return position, None

    def _fault_of_head(self) -> tuple[int, Fault | None]:
        last, head = self._last, self._head
        if head.position is None:
            return last.position, Fault.HEAD_MISSING
        if head.position > last.position:
            return last.position + 1, Fault.MISSING
        recorded = (head.position, head.hash, head.decided_at)
        # before the first entry, the head of a ledger has the time of the organization's creation
        at = last.at if self._kind is ChainKind.LEDGER and self.entries else head.decided_at
        expected = (last.position, last.hash, at)
        return last.position, Fault.HEAD_DIFFERS if recorded != expected else None


def _printable(name: str) -> str:
    """Return the name, escaped if an altered one could make a terminal hide its line."""
    return name if name.isprintable() else ascii(name)


def _before(at: datetime | None, other: datetime | None) -> bool:
    return at is not None and other is not None and at < other
