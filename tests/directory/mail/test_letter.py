"""The mail of an invitation: its recipient and its content."""

import email
import email.policy
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teamaccess.access.holdings import RoleSet
from teamaccess.catalog import load_catalog
from teamaccess.common.text import InvalidText, clean
from teamaccess.directory.invitations.letter import compose
from teamaccess.directory.invitations.offer import Letter
from teamaccess.directory.mail import Mail, SmtpMailer, serialize_verified, without_links
from teamaccess.directory.users.addresses import InvalidEmail, normalize_email
from teamaccess.storage import (
    CustomRole,
    Invitation,
    InvitationRole,
    OrganizationId,
    RoleId,
)
from tests.directory.mail.mail_programs import links_in
from tests.support.inbox import Inbox
from tests.support.inbox import url as url_of

FINTOC = load_catalog("fintoc")
SECRET = "a-secret_" + "x" * 34


SENT = datetime(2026, 11, 1, tzinfo=UTC)


def composed(
    address: str = "bob@example.com",
    organization: str = "Acme",
    url: str = "https://a.example",
    roles: Sequence[str] = ("support", "developer"),
    names: Sequence[str] = (),
) -> Mail:
    """An invitation to these roles, and to custom roles with these names."""
    custom = [
        CustomRole(organization_id="acme", id=RoleId(f"custom_{number:03}"), name=name)
        for number, name in enumerate(names)
    ]
    offered = [*roles, *(role.id for role in custom)]
    invitation = Invitation(
        organization_id=OrganizationId("acme"),
        email=address,
        sent_at=SENT,
        expires_at=datetime(2026, 11, 8, 12, 30, tzinfo=UTC),
        offers=[InvitationRole(role=RoleId(role)) for role in offered],
    )
    role_set = RoleSet(FINTOC, {role.id: role for role in custom})
    return compose(Letter(invitation, SECRET, role_set), organization, url)


def letter_to(
    address: str, organization: str = "Acme", url: str = "https://a.example"
) -> EmailMessage:
    """An invitation as support and developer, composed, and read again from its bytes."""
    mail = composed(address, organization, url)
    content = serialize_verified(mail, readable=True)
    beyond_ascii = not address.isascii()
    # the parser of bytes can't read headers beyond ASCII, and the parser of text can't read such bodies
    if beyond_ascii:
        read = email.message_from_string(content.decode(), policy=email.policy.default)
    else:
        read = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(read, EmailMessage)
    return read


def test_a_mail_names_the_organization_the_roles_the_expiry_and_the_link() -> None:
    read = letter_to("bob@example.com")
    text = read.get_content().replace("\r\n", "\n")

    assert read["Subject"] == "Join Acme"
    assert read["To"] == "bob@example.com"
    assert "invited to join Acme\n" in text
    assert "  - Developer\n  - Support\n" in text
    assert "08 November 2026, 12:30 UTC" in text
    assert "only for the address that this mail was sent to" in text
    link = next(line.strip() for line in text.splitlines() if "://" in line)
    assert parse_qs(urlsplit(link).query) == {"token": [SECRET]}
    assert link.startswith("https://a.example/invitations/accept?")


@given(st.text(max_size=30), st.sampled_from(["example.com", "Bücher.example"]))
def test_a_mail_goes_only_to_the_invited_address(local: str, domain: str) -> None:
    try:
        address = normalize_email(f"{local}@{domain}")
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
        *("MIME-Version", "Message-ID", "Auto-Submitted"),
    }
    assert f"join {without_links(name)}\n" in read.get_content().replace("\r\n", "\n")


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


@pytest.mark.parametrize("url", ["https://team.example:8443/app", "http://[::1]:8000"])
def test_a_mail_has_a_date_and_an_id_of_its_senders_domain(url: str) -> None:
    """Gmail refuses mails without them. RFC 5322 sections 3.6.1 and 3.6.4 give the form."""
    first, second = letter_to("bob@example.com", url=url), letter_to("bob@example.com", url=url)

    assert parsedate_to_datetime(first["Date"]) == SENT
    assert re.fullmatch(r"<[0-9a-f]{32}@(team\.example|\[IPv6:::1\])>", first["Message-ID"])
    domain = str(first["From"]).rstrip(">").rpartition("@")[2]
    assert first["Message-ID"].endswith(f"@{domain}>")
    assert first["Message-ID"] != second["Message-ID"]


def test_no_program_should_answer_a_mail() -> None:
    assert letter_to("bob@example.com")["Auto-Submitted"] == "auto-generated"


def test_each_role_has_a_line_and_many_roles_are_counted() -> None:
    text = composed(roles=["support"], names=[f"Role {number}" for number in range(1, 12)]).text
    listed = text.partition("roles there:\n\n")[2].partition("\n\nAccept")[0]
    assert listed.splitlines() == [
        *(f"  - Role {number}" for number in range(1, 11)),
        "  - and 2 more roles",
    ]
    assert "  - and 1 more role\n" in composed(roles=["support"], names=["R"] * 10).text


LONG_NAMES = ["x" * 100, "株" * 100, "👩‍💻" * 33, " ".join(["word"] * 20), "a.b." * 25, "=?" * 50]


@pytest.mark.parametrize("readable", [True, False])
@pytest.mark.parametrize("name", LONG_NAMES)
def test_no_line_of_a_mail_is_too_long(name: str, readable: bool) -> None:
    """RFC 5322 section 2.1.1 allows 998 bytes, RFC 2047 section 2 allows 76 with an encoded word."""
    mail = composed("b" * 64 + "@" + "d" * 60 + ".example", name, names=[name] * 100)
    content = serialize_verified(mail, readable=readable)

    assert max(map(len, content.split(b"\r\n"))) <= 998
    head = content.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert max(len(line) for line in head if b"=?" in line) <= 76


@pytest.mark.parametrize("name", LONG_NAMES)
async def test_a_server_accepts_many_long_names(name: str) -> None:
    inbox = Inbox()
    with inbox.serving() as server:
        await SmtpMailer(url_of(server)).send(composed(organization=name, names=[name] * 100))
    assert without_links(name) in inbox.newest().get_content()
    assert inbox.newest()["Subject"] == f"Join {without_links(name)}"


LURES = [
    "Payment failed, sign in at https://evil.example/pay",
    "evil.com",
    "help@evil.com",
    "Call 0800 555 01 99",
]


@pytest.mark.parametrize("name", LURES)
def test_the_only_link_of_a_mail_is_its_own(name: str) -> None:
    mail = composed("bob+www.evil.com/pay@victim.example", organization=name, names=[name] * 3)

    [link] = [line.strip() for line in mail.text.splitlines() if "://" in line]
    assert link.startswith("https://a.example/invitations/accept?token=")
    assert links_in(mail.text.replace(link, "")) == []
    assert links_in(mail.subject) == []
    assert mail.sender.name == "teamaccess"
