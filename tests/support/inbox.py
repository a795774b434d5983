"""A real SMTP server that stores what it receives."""

import email
import email.policy
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope


class Inbox:
    """The mails that an SMTP server received."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.refuses = False

    async def handle_DATA(self, server: object, session: object, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        if self.refuses:
            return "554 no"
        self.envelopes.append(envelope)
        return "250 taken"

    def newest(self) -> EmailMessage:
        """The last mail that was accepted."""
        content = self.envelopes[-1].content
        assert isinstance(content, bytes)
        read = email.message_from_bytes(content, policy=email.policy.default)
        assert isinstance(read, EmailMessage)
        return read

    @contextmanager
    def serving(self, **options: Any) -> Iterator[Controller]:
        """A server on a free local port that delivers to this inbox."""
        controller = Controller(self, "127.0.0.1", free_port(), **options)
        controller.start()
        try:
            yield controller
        finally:
            controller.stop()


def url(controller: Controller, login: str = "") -> str:
    """Where it listens, as the settings spell it."""
    return f"smtp://{login}{controller.hostname}:{controller.port}"


def free_port() -> int:
    """A free port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])
