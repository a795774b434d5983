"""Send mails over SMTP, or write them into a folder for development."""

import asyncio
import secrets
from pathlib import Path
from typing import Protocol

import aiosmtplib

from teamaccess.common import urls
from teamaccess.common.configuration.settings import Settings
from teamaccess.directory.mail.mail import Mail
from teamaccess.directory.mail.verify import serialize_verified
from teamaccess.storage import Delivery


class MailNotWritten(Exception):
    """A mail could not be written into the folder of mails. No mail server was asked."""


class Mailer(Protocol):
    """Sends mails."""

    async def send(self, mail: Mail) -> Delivery:
        """Send the mail. Return what became of it: `sent`, or `file` or `off` if nobody gets it.

        Raises UnsafeMail if mail programs would read it differently, MailNotWritten, and OSError or
        aiosmtplib's SMTPException if the server does not accept it.
        """


class FileMailer:
    """Writes each mail into a folder, for development."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def send(self, mail: Mail) -> Delivery:
        """Write `<folder>/<random>.eml`. Only its owner can read it, because it contains a secret.

        Raises MailNotWritten if the folder cannot be used or the disk is full.
        """
        content = serialize_verified(mail, readable=True).replace(b"\r\n", b"\n")
        try:
            await asyncio.to_thread(self._write, content)
        except OSError as cause:
            raise MailNotWritten(str(cause)) from cause
        return Delivery.FILE

    def _write(self, content: bytes) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{secrets.token_hex(8)}.eml"
        unfinished = path.with_suffix(".part")
        unfinished.touch(mode=0o600)
        unfinished.write_bytes(content)
        unfinished.rename(path)


class NoMailer:
    """Sends nothing, where a deployment has turned mail off. The product passes invitations on itself."""

    async def send(self, mail: Mail) -> Delivery:
        """Verify the mail, and drop it."""
        serialize_verified(mail)
        return Delivery.OFF


class SmtpMailer:
    """Sends mails to an SMTP server: `smtp://user:password@host:port`, or `smtps://` for TLS at once.

    A password is sent only over TLS, or to this machine. `insecure` also allows a server without TLS, for
    use on a private network.
    """

    def __init__(self, url: str, *, insecure: bool = False) -> None:
        server = urls.read_smtp_url(url)
        self._hostname, self._port = server.host, server.port
        self._use_tls = server.tls
        self._username, self._password = server.username, server.password
        self._start_tls = self._whether_to_start_tls(insecure=insecure)

    async def send(self, mail: Mail) -> Delivery:
        """Send the mail to its recipient only."""
        content = serialize_verified(mail)
        beyond_ascii = not mail.recipient.isascii()
        await aiosmtplib.send(
            content,
            # SECURITY: the envelope comes from the mail's own fields, never from a header
            sender=mail.sender.address,
            recipients=[mail.recipient],
            mail_options=["SMTPUTF8", "BODY=8BITMIME"] if beyond_ascii else [],
            hostname=self._hostname,
            port=self._port,
            username=self._username,
            password=self._password,
            use_tls=self._use_tls,
            start_tls=self._start_tls,
            timeout=10,
        )
        return Delivery.SENT

    def _whether_to_start_tls(self, *, insecure: bool) -> bool | None:
        """Return True if STARTTLS is required, or None to use it if the server offers it."""
        if self._use_tls:
            return None
        # SECURITY: an attacker on the network can remove STARTTLS from the server's offer. Without this
        # requirement, the password would then be sent in plain text.
        needed = (
            self._password is not None and not urls.is_loopback(self._hostname) and not insecure
        )
        return True if needed else None


def mailer(settings: Settings) -> Mailer:
    """Return the mailer that `mail` and `smtp_url` ask for, and a FileMailer if they say nothing."""
    if settings.mail == "off":
        return NoMailer()
    if settings.smtp_url is None:
        return FileMailer(settings.home / "mail")
    return SmtpMailer(settings.smtp_url.get_secret_value(), insecure=settings.smtp_insecure)
