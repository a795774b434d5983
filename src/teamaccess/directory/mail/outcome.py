"""Send a mail and say what became of it."""

import asyncio
import re
from typing import NamedTuple

import aiosmtplib
import structlog

from teamaccess.directory.mail.mail import Mail
from teamaccess.directory.mail.mailer import Mailer, MailNotWritten
from teamaccess.directory.mail.verify import UnsafeMail
from teamaccess.storage import Delivery, DeliveryProblem

log = structlog.get_logger()

ENHANCED_STATUS = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})(?!\S)")
"""The enhanced status code at the beginning of a server's text (RFC 3463)."""
LONGEST_SECONDS = 60.0
"""How long one mail may take. Each step of SMTP has its own, shorter limit."""


class Outcome(NamedTuple):
    """What became of a mail."""

    delivery: Delivery
    problem: DeliveryProblem | None = None
    attempted: bool = True
    """Whether a mail server may have it, or was asked about its recipient. Limits count such a mail."""


PROBLEMS: tuple[tuple[type[Exception], DeliveryProblem, bool], ...] = (
    (UnsafeMail, DeliveryProblem.UNSAFE, False),
    (MailNotWritten, DeliveryProblem.NOT_WRITTEN, False),
    (aiosmtplib.SMTPAuthenticationError, DeliveryProblem.SIGN_IN_REFUSED, False),
    (aiosmtplib.SMTPConnectTimeoutError, DeliveryProblem.UNREACHABLE, False),
    (aiosmtplib.SMTPConnectError, DeliveryProblem.UNREACHABLE, False),
    (aiosmtplib.SMTPRecipientsRefused, DeliveryProblem.RECIPIENT_REFUSED, True),
    (aiosmtplib.SMTPResponseException, DeliveryProblem.REFUSED, True),
    (aiosmtplib.SMTPNotSupported, DeliveryProblem.UNSUPPORTED, False),
    (TimeoutError, DeliveryProblem.TIMEOUT, True),
    (aiosmtplib.SMTPServerDisconnected, DeliveryProblem.TIMEOUT, True),
    (OSError, DeliveryProblem.UNREACHABLE, False),
)
"""The first entry that fits counts. SECURITY: a mail whose fate is unknown counts as attempted."""


async def send_mail(mailer: Mailer, mail: Mail, **about: str) -> Outcome:
    """Send the mail, and return what became of it. A failure is logged with `about`, and not raised."""
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            return Outcome(await mailer.send(mail))
    except Exception as error:
        log.error("mail_failed", cause=_cause(error), **about)
        for kind, problem, attempted in PROBLEMS:
            if isinstance(error, kind):
                return Outcome(Delivery.FAILED, problem, attempted)
        return Outcome(Delivery.FAILED, DeliveryProblem.INTERNAL)


def _cause(error: Exception) -> str:
    """Return the class of the error, with the status codes of the server's answer.

    SECURITY: the server's text is left out. It may quote the address, the password, or the mail with the
    secret of its link.
    """
    if isinstance(error, UnsafeMail):
        return f"{type(error).__name__}: {error}"  # it quotes nothing
    answers = [error]
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        answers = [*error.recipients]
    codes = {
        f" {answer.code}" + (f" {status[1]}" if status else "")
        for answer in answers
        if isinstance(answer, aiosmtplib.SMTPResponseException)
        for status in [ENHANCED_STATUS.match(answer.message)]
    }
    return f"{type(error).__name__}{','.join(sorted(codes))}"
