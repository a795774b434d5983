"""The mail that carries an invitation."""

from email.utils import parseaddr
from urllib.parse import urlencode, urlsplit

from teamaccess.common.sentences.plurals import pluralize
from teamaccess.directory.invitations.offer import Letter
from teamaccess.directory.mail import Mail, Mailbox, without_links

MOST_ROLES = 10
"""Roles that a mail names."""

BODY = """\
You are invited to join {organization}

Your roles there:

{roles}

Accept here:

  {link}

The link works once, only for the address that this mail was sent to, and until
{until:%d %B %Y, %H:%M} UTC.

If you did not expect this mail, ignore it. Nothing will change.
"""
"""SECURITY: a line break follows each name, so that no text of ours completes a link in it. The invited
address is left out: its inviter chose what stands before the @, which can look like a link, too."""


def sender_of(mail_from: str | None, public_url: str) -> Mailbox:
    """Return the sender of the mail: the setting's, or an address at the host of the mail's link."""
    return Mailbox(*parseaddr(mail_from)) if mail_from else sender_at(public_url)


def sender_at(url: str) -> Mailbox:
    """Return an address at the host of a URL."""
    host = urlsplit(url).hostname or "localhost"
    domain = f"[IPv6:{host}]" if ":" in host else host
    return Mailbox("teamaccess", f"no-reply@{domain}")


def compose(
    letter: Letter, organization: str, public_url: str, mail_from: str | None = None
) -> Mail:
    """Return the mail; `organization` is the display name, `mail_from` the sender of the settings."""
    invitation = letter.invitation
    offered = invitation.roles
    roles = [without_links(letter.roles.name(role)) for role in offered[:MOST_ROLES]]
    if more := len(offered) - len(roles):
        roles.append(f"and {pluralize(more, 'more role')}")
    organization = without_links(organization)
    query = urlencode({"token": letter.secret})
    return Mail(
        subject=f"Join {organization}",
        sender=sender_of(mail_from, public_url),
        recipient=invitation.email,
        date=invitation.sent_at,
        text=BODY.format(
            organization=organization,
            roles="\n".join(f"  - {role}" for role in roles),
            link=f"{public_url.rstrip('/')}/invitations/accept?{query}",
            until=invitation.expires_at,
        ),
    )
