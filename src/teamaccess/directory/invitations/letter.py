"""The mail that carries an invitation."""

import re
from email.utils import parseaddr
from urllib.parse import urlencode, urlsplit

from teamaccess.directory.invitations.offer import Letter
from teamaccess.directory.mail import Mail, Mailbox

MOST_ROLES = 10
"""Roles that a mail names."""
LINK_LIKE = re.compile(r"://|www\.|\w\.\w{2,}[/?#:]|@", re.IGNORECASE)

BODY = """\
You are invited to join {organization} as {roles}.

Accept here:

  {link}

The link works once, only for {email}, and until {until:%d %B %Y, %H:%M} UTC.
If you did not expect this mail, ignore it. Nothing will change.
"""


def sender_of(mail_from: str | None, public_url: str) -> Mailbox:
    """Return the sender of the mail: the setting's, or an address at the host of the mail's link."""
    return Mailbox(*parseaddr(mail_from)) if mail_from else sender_at(public_url)


def sender_at(url: str) -> Mailbox:
    """Return an address at the host of a URL."""
    host = urlsplit(url).hostname or "localhost"
    domain = f"[IPv6:{host}]" if ":" in host else host
    return Mailbox("teamaccess", f"no-reply@{domain}")


def spoken(name: str, id: str) -> str:
    """Return the name, or the id instead of a name that mail programs could make a link of.

    SECURITY: anybody may be able to choose an organization's name, and the mail is ours: a link in it
    would be taken for ours, too.
    """
    return id if LINK_LIKE.search(name) else name


def compose(
    letter: Letter, organization: str, public_url: str, mail_from: str | None = None
) -> Mail:
    """Return the mail; `organization` is the display name, `mail_from` the sender of the settings."""
    invitation = letter.invitation
    offered = invitation.roles
    roles = [spoken(letter.roles.name(role), role) for role in offered[:MOST_ROLES]]
    more = [f"{len(offered) - MOST_ROLES} more roles"] if len(offered) > MOST_ROLES else []
    organization = spoken(organization, invitation.organization_id)
    query = urlencode({"token": letter.secret})
    return Mail(
        subject=f"Join {organization}",
        sender=sender_of(mail_from, public_url),
        recipient=invitation.email,
        date=invitation.sent_at,
        text=BODY.format(
            organization=organization,
            roles=", ".join([*roles, *more]),
            link=f"{public_url.rstrip('/')}/invitations/accept?{query}",
            until=invitation.expires_at,
            email=invitation.email,
        ),
    )
