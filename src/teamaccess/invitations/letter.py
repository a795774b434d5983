"""The mail that carries an invitation."""

from email.headerregistry import Address
from email.message import EmailMessage
from urllib.parse import urlencode

from teamaccess.catalog import Catalog
from teamaccess.invitations.offer import Letter

BODY = """\
You are invited to join {organization} as {roles}.

Accept here:

  {link}

The link works once, until {until:%d %B %Y, %H:%M} UTC, and only for {email}.
If you did not expect this, ignore it: nothing happens.
"""


def compose(letter: Letter, organization: str, catalog: Catalog, public_url: str) -> EmailMessage:
    """Return the mail; `organization` is the display name."""
    invitation = letter.invitation
    message = EmailMessage()
    message["Subject"] = f"Join {organization}"
    message["To"] = Address(addr_spec=invitation.email)
    message["From"] = Address(
        "teamaccess", "no-reply", public_url.partition("://")[2].split(":")[0].split("/")[0]
    )
    message["Date"] = invitation.sent_at
    message.set_content(
        BODY.format(
            organization=organization,
            roles=", ".join(catalog.roles[role].name for role in invitation.roles),
            link=f"{public_url}/invitations/accept?{urlencode({'token': letter.secret})}",
            until=invitation.expires_at,
            email=invitation.email,
        ),
        cte="8bit",  # a link that a soft line break divides is no link in a plain reader
    )
    return message
