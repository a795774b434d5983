"""The mail that carries an invitation."""

from urllib.parse import urlencode, urlsplit

from teamaccess.invitations.offer import Letter
from teamaccess.mail import Mail, Mailbox

BODY = """\
You are invited to join {organization} as {roles}.

Accept here:

  {link}

The link works once, until {until:%d %B %Y, %H:%M} UTC, and only for {email}.
If you did not expect this, ignore it: nothing happens.
"""


def sender_at(url: str) -> Mailbox:
    """Return whom the mail is from: the host that its link leads to."""
    host = urlsplit(url).hostname or "localhost"
    domain = f"[IPv6:{host}]" if ":" in host else host
    return Mailbox("teamaccess", f"no-reply@{domain}")


def compose(letter: Letter, organization: str, public_url: str) -> Mail:
    """Return the mail; `organization` is the display name."""
    invitation = letter.invitation
    query = urlencode({"token": letter.secret})
    return Mail(
        subject=f"Join {organization}",
        sender=sender_at(public_url),
        recipient=invitation.email,
        date=invitation.sent_at,
        text=BODY.format(
            organization=organization,
            roles=", ".join(letter.roles.name(role) for role in invitation.roles),
            link=f"{public_url.rstrip('/')}/invitations/accept?{query}",
            until=invitation.expires_at,
            email=invitation.email,
        ),
    )
