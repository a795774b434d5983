"""How a mail leaves: into a folder, or to an SMTP server."""

import asyncio
import email
import email.policy
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import aiosmtplib
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from pydantic import SecretStr

from teamaccess.common.configuration.settings import Settings
from teamaccess.directory.invitations.letter import sender_of
from teamaccess.directory.mail import FileMailer, Mail, Mailbox, NoMailer, SmtpMailer, mailer
from tests.support.inbox import Inbox, url


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture(params=[True, False], ids=["with SMTPUTF8", "without SMTPUTF8"])
def server(inbox: Inbox, request: pytest.FixtureRequest) -> Iterator[Controller]:
    """A real SMTP server on a free port."""
    with inbox.serving(enable_SMTPUTF8=request.param) as controller:
        yield controller


def letter(to: str = "bob@example.com", subject: str = "Join Acme") -> Mail:
    """A mail with a long line and letters beyond ASCII."""
    return Mail(
        subject=subject,
        sender=Mailbox("", "no-reply@example.com"),
        recipient=to,
        date=datetime(2026, 11, 1, tzinfo=UTC),
        text="Größe https://example.com/?token=" + "x" * 90 + "\n",
    )


async def test_a_mail_becomes_a_file_that_only_its_owner_can_read(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "mail"
    for number in range(3):
        await FileMailer(folder).send(letter(subject=f"Mail {number}"))

    files = sorted(folder.iterdir())
    assert [each.suffix for each in files] == [".eml"] * 3
    assert {stat.S_IMODE(each.stat().st_mode) for each in files} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    read = [
        email.message_from_bytes(each.read_bytes(), policy=email.policy.default) for each in files
    ]
    assert {each["Subject"] for each in read} == {"Mail 0", "Mail 1", "Mail 2"}
    assert all("?token=" + "x" * 90 in each.read_text() for each in files)


async def test_a_server_gets_the_mail_unchanged(server: Controller, inbox: Inbox) -> None:
    await SmtpMailer(url(server)).send(letter())

    assert inbox.envelopes[-1].rcpt_tos == ["bob@example.com"]
    assert inbox.envelopes[-1].mail_from == "no-reply@example.com"
    assert inbox.newest()["Subject"] == "Join Acme"
    assert "?token=" + "x" * 90 in inbox.newest().get_content()
    assert "Größe" in inbox.newest().get_content()


async def test_an_address_beyond_ascii_needs_a_server_that_supports_them(
    server: Controller, inbox: Inbox
) -> None:
    to_zoe = letter("zoë@example.com")
    if server.SMTP_kwargs["enable_SMTPUTF8"]:
        await SmtpMailer(url(server)).send(to_zoe)
        assert inbox.envelopes[-1].rcpt_tos == ["zoë@example.com"]
    else:
        with pytest.raises(aiosmtplib.SMTPException):
            await SmtpMailer(url(server)).send(to_zoe)
        assert inbox.envelopes == []


async def test_a_mail_that_the_server_refuses_is_an_error(server: Controller, inbox: Inbox) -> None:
    inbox.refuses = True
    with pytest.raises(aiosmtplib.SMTPException):
        await SmtpMailer(url(server)).send(letter())


async def test_an_unavailable_server_is_an_error() -> None:
    with pytest.raises((OSError, aiosmtplib.SMTPException)):
        await SmtpMailer("smtp://127.0.0.1:1").send(letter())


async def test_user_name_and_password_are_sent_and_may_contain_any_character(inbox: Inbox) -> None:
    credentials = []

    def authenticate(server: object, session: object, *rest: object) -> AuthResult:
        _, _, data = rest
        assert isinstance(data, LoginPassword)
        credentials.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=True)

    with inbox.serving(authenticator=authenticate, auth_require_tls=False) as running:
        await SmtpMailer(url(running, "ana%40acme:p%2Fw%3A%C3%A9@")).send(letter())
    assert credentials == [("ana@acme", "p/w:é")]
    assert len(inbox.envelopes) == 1


def test_the_settings_choose_the_mailer(tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path,
        database_url="postgresql:///none",
        spicedb_endpoint="127.0.0.1:1",
        spicedb_preshared_key=SecretStr("none"),
        secret_key=SecretStr("a secret of nobody"),
    )
    assert isinstance(mailer(settings), FileMailer)
    by_smtp = settings.model_copy(update={"smtp_url": SecretStr("smtp://mail.example:25")})
    assert isinstance(mailer(by_smtp), SmtpMailer)
    assert isinstance(mailer(settings.model_copy(update={"mail": "file"})), FileMailer)
    assert isinstance(mailer(settings.model_copy(update={"mail": "off"})), NoMailer)


def test_without_mail_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asyncio.run(NoMailer().send(letter()))
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(
    ("mail_from", "sender"),
    [
        (None, Mailbox("teamaccess", "no-reply@team.example")),
        ("team@acme.example", Mailbox("", "team@acme.example")),
        ("Acme Team <team@acme.example>", Mailbox("Acme Team", "team@acme.example")),
    ],
)
def test_the_settings_choose_the_sender(mail_from: str | None, sender: Mailbox) -> None:
    assert sender_of(mail_from, "https://team.example") == sender
