"""Send mails."""

import asyncio
import secrets
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

import aiosmtplib

from teamaccess.settings import Settings


class Mailer(Protocol):
    """Something that takes mails away."""

    async def send(self, message: EmailMessage) -> None:
        """Hand the mail over; raises OSError or aiosmtplib's SMTPException when it is not taken."""


class FileMailer:
    """Writes each mail into a folder, for development."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def send(self, message: EmailMessage) -> None:
        """Write `<folder>/<random>.eml`, readable by its owner alone: it carries a secret."""
        utf8 = not message["To"].isascii()  # RFC 6532; nothing older can spell such an address
        content = message.as_bytes(policy=default.clone(utf8=utf8))
        await asyncio.to_thread(self._write, content)

    def _write(self, content: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{secrets.token_hex(8)}.eml"
        unfinished = path.with_suffix(".part")
        unfinished.touch(mode=0o600)
        unfinished.write_bytes(content)
        unfinished.rename(path)


class SmtpMailer:
    """Hands mails to an SMTP server: `smtp://user:password@host:port`, or `smtps://` for TLS at once."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._hostname = parts.hostname or "localhost"
        self._use_tls = parts.scheme == "smtps"
        self._port = parts.port
        self._username = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None

    async def send(self, message: EmailMessage) -> None:
        """Send the mail; STARTTLS is used wherever the server offers it."""
        await aiosmtplib.send(
            message,
            hostname=self._hostname,
            port=self._port,
            username=self._username,
            password=self._password,
            use_tls=self._use_tls,
            timeout=10,
        )


def mailer(settings: Settings) -> Mailer:
    """Return what the settings ask for: SMTP if it is set, else files in HOME/mail."""
    if settings.smtp_url is None:
        return FileMailer(settings.home / "mail")
    return SmtpMailer(settings.smtp_url.get_secret_value())
