"""The way a mail leaves: over SMTP, or into a folder where a developer finds it."""

from teamaccess.mail.mailer import FileMailer, Mailer, SmtpMailer, mailer

__all__ = ["FileMailer", "Mailer", "SmtpMailer", "mailer"]
