"""A mail server's answer quotes the mail. Neither its secret nor its recipient reaches our log."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from teamaccess.directory.mail import Mail, Mailbox, SmtpMailer
from teamaccess.directory.mail.outcome import send_mail

LINK = "https://teamaccess.example/invitations/accept?token=SECRETSECRETSECRET"
ANSWERS = {
    "DATA": (f"554 5.7.1 blocked: the link {LINK} is listed", "SMTPDataError 554 5.7.1"),
    "RCPT": (
        "550 5.1.1 <CARLA@acme.example>: unknown, did you mean carla",
        "SMTPRecipientsRefused 550 5.1.1",
    ),
    "MAIL": ("550 not for carla@acme.example", "SMTPSenderRefused 550"),
    "AUTH": ("535 5.7.8 cannot sign in with hunter2", "SMTPAuthenticationError 535 5.7.8"),
}


@asynccontextmanager
async def mail_server(verb: str, answer: str) -> AsyncIterator[int]:
    """A server that refuses one command with an answer. Yields its port."""
    is_done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example\r\n")
        in_body = False
        while line := await reader.readline():
            command = line[:4].upper().decode("latin-1").strip()
            if in_body:
                if line != b".\r\n":
                    continue
                in_body, command = False, "END"
            if command == "DATA":
                in_body = True
                writer.write(b"354 go on\r\n")
            elif command == ("END" if verb == "DATA" else verb):
                writer.write(f"{answer}\r\n".encode())
            elif command == "EHLO":
                writer.write(b"250-mail.example\r\n250 AUTH PLAIN\r\n")
            else:
                writer.write(
                    {"AUTH": b"235 ok\r\n", "QUIT": b"221 bye\r\n"}.get(command, b"250 ok\r\n")
                )
        writer.close()
        is_done.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.wait_for(is_done.wait(), 5)


@pytest.mark.parametrize("verb", ANSWERS)
async def test_the_text_of_a_mail_server_is_not_logged(verb: str) -> None:
    answer, expected = ANSWERS[verb]
    mail = Mail(
        subject="Join Acme",
        sender=Mailbox("", "no-reply@teamaccess.example"),
        recipient="carla@acme.example",
        date=datetime(2026, 11, 1, tzinfo=UTC),
        text=f"Join Acme:\n{LINK}\n",
    )
    async with mail_server(verb, answer) as port:
        with capture_logs() as logs:
            await send_mail(SmtpMailer(f"smtp://user:hunter2@127.0.0.1:{port}"), mail)
    [failure] = [each for each in logs if each["event"] == "mail_failed"]
    assert failure["cause"] == expected
    assert not any(each in str(logs).lower() for each in ("secret", "carla", "hunter2"))
