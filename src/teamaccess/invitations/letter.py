"""The mail that carries an invitation."""

from email.headerregistry import Address
from email.message import EmailMessage
from urllib.parse import urlencode, urlsplit

from teamaccess.invitations.offer import Letter

BODY = """\
You are invited to join {organization} as {roles}.

Accept here:

  {link}

The link works once, until {until:%d %B %Y, %H:%M} UTC, and only for {email}.
If you did not expect this, ignore it: nothing happens.
"""


def mailbox(name: str, address: str) -> Address:
    """Return the mailbox of a normalised address, as it is: parsing would refuse letters beyond ASCII."""
    local, _, domain = address.rpartition("@")
    return Address(name, local, domain)


def _host(url: str) -> str:
    host = urlsplit(url).hostname or "localhost"
    return f"[IPv6:{host}]" if ":" in host else host


def compose(letter: Letter, organization: str, public_url: str) -> EmailMessage:
    """Return the mail; `organization` is the display name."""
    invitation = letter.invitation
    message = EmailMessage()
    message["Subject"] = f"Join {organization}"
    message["To"] = mailbox("", invitation.email)
    message["From"] = mailbox("teamaccess", f"no-reply@{_host(public_url)}")
    message["Date"] = invitation.sent_at
    message.set_content(
        BODY.format(
            organization=organization,
            roles=", ".join(letter.roles.name(role) for role in invitation.roles),
            link=f"{public_url.rstrip('/')}/invitations/accept?{urlencode({'token': letter.secret})}",
            until=invitation.expires_at,
            email=invitation.email,
        ),
        cte="8bit",  # a link that a soft line break divides is no link in a plain reader
    )
    return message
