"""A mail as it is meant, before it becomes bytes."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple


class Mailbox(NamedTuple):
    """A name that people read, and an address; the name may be empty."""

    name: str
    address: str


@dataclass(frozen=True)
class Mail:
    """A plain-text mail to one recipient."""

    subject: str
    sender: Mailbox
    recipient: str
    date: datetime
    text: str = field(repr=False)
    """Lines end in a single newline. It may carry a secret, so it is not shown."""
