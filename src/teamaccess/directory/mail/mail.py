"""The content of a mail, before it is serialized."""

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple


class Mailbox(NamedTuple):
    """A display name, which may be empty, and an address."""

    name: str
    address: str

    @property
    def domain(self) -> str:
        """The part of the address after the @: a host, or an IP address in brackets."""
        return self.address.rpartition("@")[2]


def new_mail_id() -> str:
    """Return a new id. No two mails share one, and nobody can guess the next one."""
    return secrets.token_hex(16)


@dataclass(frozen=True)
class Mail:
    """A plain-text mail to one recipient."""

    subject: str
    sender: Mailbox
    recipient: str
    date: datetime
    text: str = field(repr=False)
    """Lines end in a single newline. The text may contain a secret, so `repr` leaves it out."""
    id: str = field(default_factory=new_mail_id)
    """The left part of the `Message-ID`. Its right part is the sender's domain."""

    @property
    def message_id(self) -> str:
        """The `Message-ID` (RFC 5322 section 3.6.4). Gmail refuses mails that have none."""
        return f"<{self.id}@{self.sender.domain}>"
