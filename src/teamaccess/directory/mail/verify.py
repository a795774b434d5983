"""Parse a serialized mail, and refuse it unless the result is exactly the original mail.

SECURITY: this is the last step before sending, and it does not trust `serialize`. It parses the bytes
with the standard library, as a server or a mail program would.
"""

import re
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32
from email.utils import format_datetime, getaddresses

from teamaccess.directory.mail.mail import Mail, Mailbox
from teamaccess.directory.mail.serialize import (
    AUTO_SUBMITTED,
    CONTENT_TYPE,
    HEADERS,
    LONGEST_LINE,
    serialize,
)

ADDRESS = re.compile(
    r"""
    [^\s@"(),:;<>\[\]\\\x00-\x1f\x7f]+ @
    ( [A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?   # a domain, or an IPv4 address
    | \[IPv6:[0-9A-Fa-f:.]+\] )
    """,
    re.VERBOSE,
)
CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f]")
"""Control characters. None of our headers contains one."""


MAIL_ID = re.compile(r"[0-9A-Za-z]{1,64}")


class UnsafeMail(ValueError):
    """A mail that would not be read as it is meant. The message names the part and quotes nothing."""

    def __init__(self, part: str) -> None:
        super().__init__(f"the mail would not be read as it is meant: {part}")


def serialize_verified(mail: Mail, *, readable: bool = False) -> bytes:
    """Serialize the mail, verify the bytes and return them. Raises UnsafeMail."""
    try:
        content = serialize(mail, readable=readable)
    except UnicodeEncodeError:
        raise UnsafeMail("it has characters that UTF-8 cannot spell") from None
    verify_mail(content, mail)
    return content


def verify_mail(content: bytes, mail: Mail) -> None:
    """Raise UnsafeMail unless the bytes are exactly this mail, to exactly one recipient."""
    _verify_lines(content)
    parsed = BytesParser(policy=compat32).parsebytes(content)
    if tuple(parsed.keys()) != HEADERS:
        raise UnsafeMail("headers")
    if parsed.defects or parsed.is_multipart():
        raise UnsafeMail("structure")
    _verify_mailboxes(parsed, mail)
    if not mail.subject or CONTROL_CHARACTERS.search(mail.subject):
        raise UnsafeMail("Subject")
    if not MAIL_ID.fullmatch(mail.id):
        raise UnsafeMail("Message-ID")
    expected = {
        "Subject": mail.subject,
        "Date": format_datetime(mail.date),
        "Message-ID": mail.message_id,
        "Auto-Submitted": AUTO_SUBMITTED,
        "MIME-Version": "1.0",
        "Content-Type": CONTENT_TYPE,
    }
    for name, value in expected.items():
        if _decoded(parsed, name) != value:
            raise UnsafeMail(name)
    if parsed.get_payload(decode=True) != mail.text.replace("\n", "\r\n").encode():
        raise UnsafeMail("text")


def _verify_lines(content: bytes) -> None:
    if b"\0" in content:
        raise UnsafeMail("a NUL")
    for line in content.split(b"\r\n"):
        if b"\r" in line or b"\n" in line:
            raise UnsafeMail("a line break inside a line")
        if len(line) > LONGEST_LINE:
            raise UnsafeMail("the length of a line")


def _verify_mailboxes(parsed: Message, mail: Mail) -> None:
    for name, mailbox in (("From", mail.sender), ("To", Mailbox("", mail.recipient))):
        if not ADDRESS.fullmatch(mailbox.address) or "=?" in mailbox.address:
            raise UnsafeMail(f"the address in {name}")
        if CONTROL_CHARACTERS.search(mailbox.name) or getaddresses([_raw(parsed, name)]) != [
            (_encoded_name(parsed, name), mailbox.address)
        ]:
            raise UnsafeMail(name)
        if _decode(_encoded_name(parsed, name)) != mailbox.name:
            raise UnsafeMail(f"the name in {name}")


def _encoded_name(parsed: Message, name: str) -> str:
    """Return the unfolded text before the address in angle brackets."""
    before, bracket, _ = _raw(parsed, name).rpartition("<")
    return " ".join(before.split()) if bracket else ""


def _raw(parsed: Message, name: str) -> str:
    """Return the header as text. The parser keeps UTF-8 bytes as surrogates."""
    value = next(value for each, value in parsed.raw_items() if each == name)
    return str(value).encode("ascii", "surrogateescape").decode()


def _decoded(parsed: Message, name: str) -> str:
    return _decode(_raw(parsed, name))


def _decode(value: str) -> str:
    try:
        return str(make_header(decode_header(value)))
    except (HeaderParseError, UnicodeError, LookupError):
        raise UnsafeMail("an encoded word") from None
