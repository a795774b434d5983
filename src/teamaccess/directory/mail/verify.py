"""Read a serialized mail back, and refuse it unless it is exactly the mail that was meant.

SECURITY: this is the last step before a mail leaves, and it trusts nothing of `serialize`. It reads the
bytes with the standard library's parser, as a server or a mail program would.
"""

import re
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32
from email.utils import format_datetime, getaddresses

from teamaccess.directory.mail.mail import Mail, Mailbox
from teamaccess.directory.mail.serialize import CONTENT_TYPE, HEADERS, LONGEST_LINE, serialize

ADDRESS = re.compile(
    r"""
    [^\s@"(),:;<>\[\]\\\x00-\x1f\x7f]+ @
    ( [A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?   # a domain, or an IPv4 address
    | \[IPv6:[0-9A-Fa-f:.]+\] )
    """,
    re.VERBOSE,
)
UNREADABLE = re.compile(r"[\x00-\x1f\x7f]")
"""No header that we mean contains a control character."""


class UnsafeMail(ValueError):
    """A mail that would not be read as it is meant. The message names the part and quotes nothing."""

    def __init__(self, part: str) -> None:
        super().__init__(f"the mail would not be read as it is meant: {part}")


def sealed(mail: Mail, *, readable: bool = False) -> bytes:
    """Return the mail as bytes that were read back; raises UnsafeMail."""
    try:
        content = serialize(mail, readable=readable)
    except UnicodeEncodeError:
        raise UnsafeMail("it has characters that UTF-8 cannot spell") from None
    verify_mail(content, mail)
    return content


def verify_mail(content: bytes, mail: Mail) -> None:
    """Return if the bytes are exactly this mail, to exactly one recipient; raises UnsafeMail."""
    _verify_lines(content)
    read = BytesParser(policy=compat32).parsebytes(content)
    if tuple(read.keys()) != HEADERS:
        raise UnsafeMail("headers")
    if read.defects or read.is_multipart():
        raise UnsafeMail("structure")
    _verify_mailboxes(read, mail)
    if not mail.subject or UNREADABLE.search(mail.subject):
        raise UnsafeMail("Subject")
    meant = {
        "Subject": mail.subject,
        "Date": format_datetime(mail.date),
        "MIME-Version": "1.0",
        "Content-Type": CONTENT_TYPE,
    }
    for name, value in meant.items():
        if _decoded(read, name) != value:
            raise UnsafeMail(name)
    if read.get_payload(decode=True) != mail.text.replace("\n", "\r\n").encode():
        raise UnsafeMail("text")


def _verify_lines(content: bytes) -> None:
    if b"\0" in content:
        raise UnsafeMail("a NUL")
    for line in content.split(b"\r\n"):
        if b"\r" in line or b"\n" in line:
            raise UnsafeMail("a line break inside a line")
        if len(line) > LONGEST_LINE:
            raise UnsafeMail("the length of a line")


def _verify_mailboxes(read: Message, mail: Mail) -> None:
    for name, meant in (("From", mail.sender), ("To", Mailbox("", mail.recipient))):
        if not ADDRESS.fullmatch(meant.address) or "=?" in meant.address:
            raise UnsafeMail(f"the address in {name}")
        if UNREADABLE.search(meant.name) or getaddresses([_raw(read, name)]) != [
            (_encoded_name(read, name), meant.address)
        ]:
            raise UnsafeMail(name)
        if _decode(_encoded_name(read, name)) != meant.name:
            raise UnsafeMail(f"the name in {name}")


def _encoded_name(read: Message, name: str) -> str:
    """What stands before the address in angle brackets, unfolded."""
    before, bracket, _ = _raw(read, name).rpartition("<")
    return " ".join(before.split()) if bracket else ""


def _raw(read: Message, name: str) -> str:
    """The header as UTF-8, which a parser of bytes keeps in surrogates."""
    value = next(value for each, value in read.raw_items() if each == name)
    return str(value).encode("ascii", "surrogateescape").decode()


def _decoded(read: Message, name: str) -> str:
    return _decode(_raw(read, name))


def _decode(value: str) -> str:
    try:
        return str(make_header(decode_header(value)))
    except (HeaderParseError, UnicodeError, LookupError):
        raise UnsafeMail("an encoded word") from None
