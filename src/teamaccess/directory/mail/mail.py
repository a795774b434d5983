"""The content of a mail, before it is serialized."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple


class Mailbox(NamedTuple):
    """A display name, which may be empty, and an address."""

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
    """Lines end in a single newline. The text may contain a secret, so `repr` leaves it out."""
