"""The mail of an invitation: its recipient and its content."""

import email
import email.policy
from datetime import UTC, datetime
from email.message import EmailMessage
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teamaccess.access.holdings import RoleSet
from teamaccess.catalog import load_catalog
from teamaccess.common.text import InvalidText, clean
from teamaccess.directory.invitations.letter import compose, spoken
from teamaccess.directory.invitations.offer import Letter
from teamaccess.directory.mail import serialize_verified
from teamaccess.directory.users.addresses import InvalidEmail, normalise
from teamaccess.storage import Invitation, InvitationRole, OrganizationId, RoleId

FINTOC = load_catalog("fintoc")
SECRET = "a-secret_" + "x" * 34


def letter_to(
    address: str, organization: str = "Acme", url: str = "https://a.example"
) -> EmailMessage:
    """An invitation as support and developer, composed, and read again from its bytes."""
    invitation = Invitation(
        organization_id=OrganizationId("acme"),
        email=address,
        sent_at=datetime(2026, 11, 1, tzinfo=UTC),
        expires_at=datetime(2026, 11, 8, 12, 30, tzinfo=UTC),
        offers=[InvitationRole(role=RoleId(role)) for role in ("support", "developer")],
    )
    mail = compose(Letter(invitation, SECRET, RoleSet(FINTOC, {})), organization, url)
    content = serialize_verified(mail, readable=True)
    beyond_ascii = not address.isascii()
    if (
        beyond_ascii
    ):  # the parser of bytes knows no headers beyond ASCII, and that of text no bodies
        read = email.message_from_string(content.decode(), policy=email.policy.default)
    else:
        read = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(read, EmailMessage)
    return read


def test_a_mail_names_the_organization_the_roles_the_expiry_and_the_link() -> None:
    read = letter_to("bob@example.com")
    text = read.get_content()

    assert read["Subject"] == "Join Acme"
    assert read["To"] == "bob@example.com"
    assert "Acme as Developer, Support" in text
    assert "08 November 2026, 12:30 UTC" in text
    assert "only for bob@example.com" in text
    link = next(line.strip() for line in text.splitlines() if "://" in line)
    assert parse_qs(urlsplit(link).query) == {"token": [SECRET]}
    assert link.startswith("https://a.example/invitations/accept?")


@given(st.text(max_size=30), st.sampled_from(["example.com", "Bücher.example"]))
def test_a_mail_goes_only_to_the_invited_address(local: str, domain: str) -> None:
    try:
        address = normalise(f"{local}@{domain}")
    except InvalidEmail:
        return
    read = letter_to(address)
    assert read["To"] == address
    assert [name for name in read if name in ("To", "Cc", "Bcc")] == ["To"]


@given(st.text(min_size=1, max_size=100))
def test_an_organizations_name_cannot_add_lines_to_the_mail(name: str) -> None:
    try:
        name = clean("name", name, 100)
    except InvalidText:
        return
    read = letter_to("bob@example.com", name)
    assert set(read.keys()) == {
        *("Subject", "To", "From", "Date", "Content-Type", "Content-Transfer-Encoding"),
        "MIME-Version",
    }
    assert f"join {spoken(name, 'acme')} as" in read.get_content()


@pytest.mark.parametrize(
    ("url", "sender", "link"),
    [
        ("https://team.example/", "no-reply@team.example", "https://team.example/inv"),
        ("https://team.example:8443", "no-reply@team.example", "https://team.example:8443/inv"),
        ("http://127.0.0.1:8000", "no-reply@127.0.0.1", "http://127.0.0.1:8000/inv"),
        ("http://[::1]:8000", "no-reply@[IPv6:::1]", "http://[::1]:8000/inv"),
        ("https://team.example/app/", "no-reply@team.example", "https://team.example/app/inv"),
    ],
)
def test_a_mail_comes_from_the_domain_of_its_link(url: str, sender: str, link: str) -> None:
    read = letter_to("bob@example.com", url=url)
    assert str(read["From"]) == f"teamaccess <{sender}>"
    assert f"\n  {link}itations/accept?token=" in read.get_content()
