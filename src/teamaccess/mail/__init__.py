"""Mails: what they mean, the bytes that say it, and the way they leave."""

from teamaccess.mail.mail import Mail, Mailbox
from teamaccess.mail.mailer import FileMailer, Mailer, SmtpMailer, mailer
from teamaccess.mail.verify import UnsafeMail, sealed

__all__ = [
    "FileMailer",
    "Mail",
    "Mailbox",
    "Mailer",
    "SmtpMailer",
    "UnsafeMail",
    "mailer",
    "sealed",
]
