"""Along one chain, entry by entry, until something does not hold."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from teamaccess.ledger.chains.chain import ChainKind, beginning


class Fault(StrEnum):
    """What can be wrong in a chain, or with what belongs to it."""

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
    ROW_UNATTESTED = "row_unattested"
    ROW_DIFFERS = "row_differs"
    ATTESTATION_ALTERED = "attestation_altered"
    TIME_AHEAD = "time_ahead"

    @property
    def sentence(self) -> str:
        """What it means, for people."""
        return _SENTENCES[self]


_SENTENCES = {
    Fault.ALTERED: "its content is not the one that was hashed",
    Fault.MISSING: "it is missing",
    Fault.DOES_NOT_FOLLOW: "it does not follow on the one before it: replaced, moved or put in",
    Fault.TIME_GOES_BACK: "it was decided before the one before it",
    Fault.HEAD_DIFFERS: "the chain ends here, and the row of its head says otherwise",
    Fault.HEAD_MISSING: "the chain ends here, and has no row of its head",
    Fault.APPLICATION_MISSING: "nothing says whether the permission engine has it",
    Fault.APPLICATION_ALONE: "it was on its way into the permission engine, and is missing",
    Fault.REASON_ALTERED: "its reason is not the one that was hashed",
    Fault.KEPT_HEAD_DIFFERS: "it was another one when its hash was kept",
    Fault.KEPT_HEAD_MISSING: "it was there when its hash was kept, and is missing",
    Fault.CHAIN_MISSING: "it was there when its hash was kept, and the whole chain is missing",
    Fault.ENTRY_WITHOUT_EVENT: "no event of its own transaction tells of it",
    Fault.ROW_UNATTESTED: "no event tells of this row",
    Fault.ROW_DIFFERS: "this row is not as the event here, the newest about it, says",
    Fault.ATTESTATION_ALTERED: "what is kept of the newest event about this row is not what it says",
    Fault.TIME_AHEAD: "this row has a time that has not come yet",
}


@dataclass(frozen=True)
class ChainFault:
    """Something that does not hold: in which chain, at which position, and what."""

    kind: ChainKind
    chain: str
    position: int
    fault: Fault
    row: str = ""
    """The row that it is about, as type and id, where it is not about the entry alone."""

    def facts(self) -> dict[str, str | int]:
        """Return it for a program; the row only where there is one."""
        about = {"row": self.row} if self.row else {}
        return {
            "kind": self.kind,
            "chain": self.chain,
            "position": self.position,
            "fault": self.fault,
            **about,
        }

    def __str__(self) -> str:
        name, row = _printable(self.chain), _printable(self.row)
        about = f", {row}" if row else ""
        return f"{self.kind} of {name}, position {self.position}{about}: {self.fault.sentence}"


class Link(NamedTuple):
    """What a chain knows of one entry; `computed` is the hash that its columns really have."""

    chain: str
    position: int
    previous_hash: bytes
    hash: bytes
    computed: bytes | None
    at: datetime | None


class HeadRow(NamedTuple):
    """A chain, and what the row of its head says, nothing where there is none."""

    chain: str
    position: int | None
    hash: bytes | None
    decided_at: datetime | None = None
    """Only a ledger's head has it."""


class Walk:
    """One chain from its beginning to the first thing that does not hold."""

    def __init__(self, kind: ChainKind, head: HeadRow) -> None:
        self.chain = head.chain
        self.entries = 0
        self._kind, self._head = kind, head
        self._last = Link(head.chain, 0, b"", beginning(kind, head.chain), None, None)
        self._finding: ChainFault | None = None

    def step(self, link: Link) -> None:
        """Go on to the next entry that there is, in the order of positions."""
        self.entries += 1
        if self._finding is None:
            self._finding = self._found(*self._fault_of(link))
            self._last = link

    def end(self) -> ChainFault | None:
        """Return what does not hold, the row of the head included; None where all does."""
        return self._finding or self._found(*self._fault_of_head())

    def _found(self, position: int, fault: Fault | None) -> ChainFault | None:
        if fault is None:
            return None
        return ChainFault(self._kind, self.chain, position, fault)

    def _fault_of(self, link: Link) -> tuple[int, Fault | None]:
        last, position = self._last, link.position
        if position > last.position + 1:
            return last.position + 1, Fault.MISSING
        if position <= last.position or link.previous_hash != last.hash:
            return position, Fault.DOES_NOT_FOLLOW
        # what cannot be hashed is not what was hashed, also where its hash was taken away
        if link.computed is None or link.computed != link.hash:
            return position, Fault.ALTERED
        # PostgreSQL keeps a ledger's times in order even where its clock is set back; not so events
        if self._kind is ChainKind.LEDGER and _before(link.at, last.at):
            return position, Fault.TIME_GOES_BACK
        return position, None

    def _fault_of_head(self) -> tuple[int, Fault | None]:
        last, head = self._last, self._head
        if head.position is None:
            return last.position, Fault.HEAD_MISSING
        if head.position > last.position:
            return last.position + 1, Fault.MISSING
        told = (head.position, head.hash, head.decided_at)
        # before the first entry a ledger's head tells when the organization was founded
        at = last.at if self._kind is ChainKind.LEDGER and self.entries else head.decided_at
        return last.position, Fault.HEAD_DIFFERS if told != (last.position, last.hash, at) else None


def _printable(name: str) -> str:
    """An altered name may have what would make a terminal hide its line."""
    return name if name.isprintable() else ascii(name)


def _before(at: datetime | None, other: datetime | None) -> bool:
    return at is not None and other is not None and at < other
