"""Mails: their content, their serialization, the check of the bytes, and sending."""

from teamaccess.directory.mail.mail import Mail, Mailbox
from teamaccess.directory.mail.mailer import FileMailer, Mailer, NoMailer, SmtpMailer, mailer
from teamaccess.directory.mail.names import without_links
from teamaccess.directory.mail.outcome import Outcome, send_mail
from teamaccess.directory.mail.verify import UnsafeMail, serialize_verified

__all__ = [
    "FileMailer",
    "Mail",
    "Mailbox",
    "Mailer",
    "NoMailer",
    "Outcome",
    "SmtpMailer",
    "UnsafeMail",
    "mailer",
    "send_mail",
    "serialize_verified",
    "without_links",
]
