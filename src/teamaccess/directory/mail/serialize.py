"""Serialize a mail.

SECURITY: customers choose the names of organizations, roles and people in a mail. This module neither
parses that text nor decodes encoded words in it. The standard library's EmailMessage does both when a
header is assigned. Until Python 3.11.8 it wrote decoded line breaks out as new headers.
"""

import base64
import re
from collections.abc import Iterator
from email.utils import format_datetime

from teamaccess.directory.mail.mail import Mail, Mailbox

HEADERS = (
    "Subject",
    "From",
    "To",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
)
CONTENT_TYPE = 'text/plain; charset="utf-8"'
AUTO_SUBMITTED = "auto-generated"
"""No program should answer the mail, for example with a note about holidays (RFC 3834 section 5)."""
LONGEST_LINE = 998
"""In bytes, without the line end (RFC 5322 section 2.1.1)."""
LONGEST_PLAIN = 60
"""The most characters of a header that is written unencoded. Longer headers are encoded and folded."""
BYTES_IN_A_WORD = 39
"""39 bytes are 52 characters of base64. So every line with an encoded word has at most 76 characters, the
first line of the Subject included (RFC 2047 section 2)."""
PLAIN = re.compile(r"[!-~]+( [!-~]+)*")
ATOM = re.compile(r"[A-Za-z0-9]+( [A-Za-z0-9]+)*")


def serialize(mail: Mail, *, readable: bool = False) -> bytes:
    """Return the mail as bytes with CRLF line ends.

    All bytes are ASCII, except in an address beyond ASCII, which needs a server with SMTPUTF8. `readable`
    keeps the text as UTF-8, for developers who open the file.
    """
    body = mail.text.replace("\n", "\r\n").encode()
    encoding = _transfer_encoding(body, readable=readable)
    values = (
        _unstructured(mail.subject),
        _mailbox(mail.sender),
        mail.recipient,
        format_datetime(mail.date),
        mail.message_id,
        AUTO_SUBMITTED,
        "1.0",
        CONTENT_TYPE,
        encoding,
    )
    head = "".join(f"{name}: {value}\r\n" for name, value in zip(HEADERS, values, strict=True))
    if encoding == "base64":
        body = base64.encodebytes(body).replace(b"\n", b"\r\n")
    return head.encode() + b"\r\n" + body


def _transfer_encoding(body: bytes, *, readable: bool) -> str:
    """Return an encoding that never splits a line, so a link stays whole in a plain-text reader."""
    if any(len(line) > LONGEST_LINE for line in body.split(b"\r\n")):
        return "base64"
    if body.isascii():
        return "7bit"
    return "8bit" if readable else "base64"


def _unstructured(text: str) -> str:
    if len(text) <= LONGEST_PLAIN and "=?" not in text and PLAIN.fullmatch(text):
        return text
    return _encoded_words(text)


def _mailbox(mailbox: Mailbox) -> str:
    if not mailbox.name:
        return mailbox.address
    name = mailbox.name if ATOM.fullmatch(mailbox.name) else _encoded_words(mailbox.name)
    return f"{name} <{mailbox.address}>"


def _encoded_words(text: str) -> str:
    """Return the text as encoded words (RFC 2047), one in each line. No character is split."""
    words = (base64.b64encode(chunk).decode() for chunk in _chunks(text))
    return "\r\n ".join(f"=?utf-8?b?{word}?=" for word in words)


def _chunks(text: str) -> Iterator[bytes]:
    chunk = b""
    for character in text:
        encoded = character.encode()
        if len(chunk) + len(encoded) > BYTES_IN_A_WORD:
            yield chunk
            chunk = b""
        chunk += encoded
    yield chunk
