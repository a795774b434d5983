"""Mails that the application wrote into files, and the token in an invitation."""

import email
import email.policy
import re
from pathlib import Path
from typing import NamedTuple

TOKEN = re.compile(r"[?&]token=([\w-]+)")


class Mail(NamedTuple):
    """A mail."""

    to: str
    text: str


def mail_files(folder: Path) -> list[Path]:
    """The files of all mails, the oldest first."""
    return sorted(folder.glob("*.eml"), key=lambda path: path.stat().st_mtime_ns)


def read_mail(path: Path) -> Mail:
    """Read a mail from its file."""
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    return Mail(str(message["To"]), str(message.get_content()))


def token_in(text: str) -> str:
    """The token of the invitation in a mail's text."""
    match = TOKEN.search(text)
    assert match is not None, text
    return match.group(1)
