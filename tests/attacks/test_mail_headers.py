"""Text that a customer chose must not become a header, a recipient or a body of a mail."""

import base64
import email
import email.policy
import os
import re
from datetime import UTC, datetime
from email.message import Message
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from teamaccess.common.text import InvalidText, clean
from teamaccess.directory.mail import (
    FileMailer,
    Mail,
    Mailbox,
    SmtpMailer,
    UnsafeMail,
    serialize_verified,
    without_links,
)
from tests.support.deployment import Deployment
from tests.support.inbox import Inbox, url
from tests.support.organization import Organization
from tests.support.responses import refused

UNREADABLE = re.compile(r"[\x00-\x1f\x7f]")
HEADERS = [
    "Subject",
    "From",
    "To",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
]


def encoded(text: str, charset: str = "utf-8") -> str:
    """An RFC 2047 encoded word, which a parser of headers decodes."""
    return f"=?{charset}?b?{base64.b64encode(text.encode(charset)).decode()}?="


BCC = "x\r\nBcc: eve@evil.example\r\n\r\nhi"
NAMES = [
    encoded(BCC),
    "=?utf-8?q?x=0D=0ABcc:_eve@evil.example?=",
    encoded("\r\nBcc: e@e.io", "utf-16"),
    f"Acme {encoded('x' + chr(10) + 'Bcc: eve@evil.example')} Inc",
    f"{encoded('a' + chr(13))} {encoded(chr(10) + 'Bcc: eve@evil.example')}",
    "=?utf-8?b?" + "=" * 40 + "?=",
    "=?unknown-charset?q?x=0AB?=",
    'Acme, <eve@evil.example>; (comment) "quoted" Bcc: eve@evil.example',
    "Größe & Söhne 株式会社 👩‍💻" + "ß" * 60,
]
"""Names that an organization may have."""


def mail_to(organization: Organization, address: str) -> Message:
    """The only mail that contains the address, read by a parser that decodes nothing."""
    folder = organization.deployment.settings.home / "mail"
    [found] = [path for path in folder.glob("*.eml") if address in path.read_text()]
    return email.message_from_bytes(found.read_bytes(), policy=email.policy.compat32)


def as_clients_read(message: Message) -> str:
    """The subject, decoded."""
    return str(email.header.make_header(email.header.decode_header(message["Subject"])))


def letter(subject: str = "Join Acme", to: str = "bob@example.com", text: str = "hello\n") -> Mail:
    """A mail with this content."""
    return Mail(
        subject=subject,
        sender=Mailbox("teamaccess", "no-reply@example.com"),
        recipient=to,
        date=datetime(2026, 11, 1, tzinfo=UTC),
        text=text,
    )


@pytest.mark.parametrize("name", NAMES)
async def test_an_organizations_name_cannot_become_a_header(
    initech: Organization, name: str
) -> None:
    renamed = await initech.administrator.ask("PATCH", initech.path, json={"name": name})
    assert renamed.status_code == 200, renamed.text

    assert (await initech.invite("bob", ["read"])).json()["delivery"] == "file"

    mail = mail_to(initech, initech.address("bob"))
    assert mail.keys() == HEADERS
    assert mail["To"] == initech.address("bob")
    assert mail.get_content_type() == "text/plain"
    assert b"You are invited to join " in mail.get_payload(decode=True)
    if not name.startswith("=?") and "=?" not in name:
        assert as_clients_read(mail) == f"Join {without_links(name)}"


@pytest.mark.parametrize("name", NAMES)
async def test_the_creator_of_an_organization_cannot_add_a_header(
    initech: Organization, name: str
) -> None:
    mallory = initech.administrator
    id = f"{initech.id}-2"
    founded = await mallory.ask("POST", "/v1/organizations", json={"id": id, "name": name})
    assert founded.status_code == 201, founded.text
    body = {"email": "bob@victim.example", "roles": ["read"]}
    invited = await mallory.ask("POST", f"/v1/organizations/{id}/invitations", json=body)
    assert invited.json()["delivery"] == "file"
    folder = initech.deployment.settings.home / "mail"
    newest = max(folder.glob("*.eml"), key=lambda path: path.stat().st_mtime_ns)
    mail = email.message_from_bytes(newest.read_bytes(), policy=email.policy.compat32)
    assert mail.keys() == HEADERS
    assert mail["To"] == "bob@victim.example"


async def test_a_roles_name_cannot_become_a_header_or_a_second_body(acme: Organization) -> None:
    role = {"id": "evil", "name": encoded(BCC), "actions": ["refunds_create"]}
    made = await acme.administrator.ask("POST", f"{acme.path}/roles", json=role)
    assert made.status_code == 201, made.text

    await acme.invite("bob", ["evil"])

    mail = mail_to(acme, acme.address("bob"))
    assert mail.keys() == HEADERS
    body = mail.get_payload(decode=True)
    assert isinstance(body, bytes)
    assert encoded(BCC) in body.decode()


@given(st.text(min_size=1, max_size=100), st.text(max_size=300))
def test_a_parser_reads_the_mail_as_intended_or_nothing_is_sent(subject: str, text: str) -> None:
    try:
        content = serialize_verified(letter(subject, text=text))
    except UnsafeMail:
        hostile = UNREADABLE.search(subject) or re.search("[\0\r\ud800-\udfff]", subject + text)
        assert hostile
        return
    read = email.message_from_bytes(content, policy=email.policy.compat32)
    assert read.keys() == HEADERS
    assert as_clients_read(read) == subject
    body = read.get_payload(decode=True)
    assert isinstance(body, bytes)
    assert body.decode().replace("\r\n", "\n") == text


@given(st.text(min_size=1, max_size=100))
def test_an_encoded_word_stays_plain_text(inside: str) -> None:
    try:
        name = clean("name", encoded(inside), 100)
    except (InvalidText, UnicodeEncodeError):
        return
    read = email.message_from_bytes(serialize_verified(letter(name)), policy=email.policy.default)
    assert read["Subject"] == name


@pytest.mark.parametrize(
    "mail",
    [
        letter(subject="Join\r\nBcc: eve@evil.example"),
        letter(subject="Join\nAcme"),
        letter(subject="Join\0Acme"),
        letter(subject=""),
        letter(to="bob@example.com, eve@evil.example"),
        letter(to="bob@example.com\r\nBcc: eve@evil.example"),
        letter(to="eve@evil.example <bob@example.com>"),
        letter(to="team:bob@example.com;"),
        letter(to=f"{encoded('eve')}@example.com"),
        letter(to=""),
        letter(text="a\0b"),
        letter(text="a\rb"),
        Mail(
            "Join",
            Mailbox("a\r\nBcc: eve@evil.example", "a@b.example"),
            "bob@example.com",
            datetime(2026, 11, 1, tzinfo=UTC),
            "hello\n",
        ),
        Mail(
            "Join",
            Mailbox("teamaccess", "no-reply@b.example\r\nBcc: eve@evil.example"),
            "bob@example.com",
            datetime(2026, 11, 1, tzinfo=UTC),
            "hello\n",
        ),
    ],
)
async def test_a_mail_that_would_be_read_differently_is_not_sent(
    mail: Mail, tmp_path: Path
) -> None:
    with pytest.raises(UnsafeMail):
        await FileMailer(tmp_path / "mail").send(mail)
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - not pathlib's in an async function


async def test_the_envelope_does_not_come_from_headers() -> None:
    inbox = Inbox()
    with inbox.serving() as server:
        for name in NAMES:
            await SmtpMailer(url(server)).send(letter(f"Join {name}"))
    assert len(inbox.envelopes) == len(NAMES)
    for envelope in inbox.envelopes:
        assert envelope.rcpt_tos == ["bob@example.com"]
        assert envelope.mail_from == "no-reply@example.com"


async def test_no_line_of_the_text_ends_the_mail_for_the_server() -> None:
    text = "hello\n.\nRCPT TO:<eve@evil.example>\n..\n"
    inbox = Inbox()
    with inbox.serving() as server:
        await SmtpMailer(url(server)).send(letter(text=text))
    [envelope] = inbox.envelopes
    assert envelope.rcpt_tos == ["bob@example.com"]
    assert inbox.newest().get_content().replace("\r\n", "\n") == text


async def test_an_invitation_whose_mail_is_refused_reports_it_and_the_log_contains_no_secret(
    initech: Organization, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = Mailbox("teamaccess", "no-reply@evil.example\r\nBcc: eve@evil.example")
    monkeypatch.setattr("teamaccess.directory.invitations.letter.sender_at", lambda url: evil)

    invited = await initech.invite("bob", ["read"])

    assert invited.status_code == 201
    assert invited.json()["delivery"] == "failed"
    assert initech.deployment.mails_to(initech.address("bob")) == []
    logged = capsys.readouterr().out
    assert "mail_failed" in logged
    assert "UnsafeMail" in logged
    assert "token=" not in logged
    assert initech.address("bob") not in logged


async def test_an_address_that_would_split_a_header_is_refused(initech: Organization) -> None:
    for local in ("=?utf-8?q?eve=40evil.example?=", "a,b", "a\r\nBcc:eve", "team:a;", "<a>", '"a"'):
        body = {"email": f"{local}@victim.example", "roles": ["read"]}
        asked = await initech.administrator.ask("POST", f"{initech.path}/invitations", json=body)
        refused(asked, 400, "invalid_email")


async def test_a_deployment_with_a_hostile_sender_address_does_not_start(
    finicom: Deployment,
) -> None:
    for address in (
        "https://a.example\r\nBcc: eve@evil.example",
        "https://a.example/\tx",
        "https://eve:pw@a.example",
        "https://a.example,b.example",
        "https://=?utf-8?q?a=0D=0A?=.example",
        "javascript:alert(1)",
        "https://",
        "https://a.example/?x=",
    ):
        with pytest.raises(ValidationError):
            type(finicom.settings)(**{**finicom.settings.model_dump(), "public_url": address})
