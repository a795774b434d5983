"""A mail that cannot be sent: the invitation stays, reports it, and can be resent."""

from collections.abc import Iterator
from typing import Any

import aiosmtplib
import pytest

from teamaccess.directory.mail import Mail
from tests.support.organization import Organization
from tests.support.responses import refused


class Broken:
    """A mailer that fails until a test repairs it."""

    def __init__(self, works: Any, failure: Exception) -> None:
        self.works = works
        self.failure: Exception | None = failure

    async def send(self, mail: Mail) -> None:
        if self.failure is not None:
            raise self.failure
        await self.works.send(mail)


FAILURES = [
    OSError("connection refused"),
    TimeoutError("too slow"),
    aiosmtplib.SMTPRecipientsRefused([aiosmtplib.SMTPRecipientRefused(550, "no", "bob")]),
    ValueError("a mistake of ours"),
]


@pytest.fixture(params=FAILURES, ids=lambda failure: type(failure).__name__)
def broken(acme: Organization, request: pytest.FixtureRequest) -> Iterator[Broken]:
    service = acme.deployment.service
    mailer = Broken(service.mailer, request.param)
    object.__setattr__(service, "mailer", mailer)
    yield mailer
    object.__setattr__(service, "mailer", mailer.works)


async def test_a_failed_mail_keeps_the_invitation_and_marks_its_delivery_as_failed(
    acme: Organization, broken: Broken
) -> None:
    invited = await acme.invite("bob", ["support"])

    assert invited.status_code == 201
    assert invited.json()["status"] == "pending"
    assert invited.json()["delivery"] == "failed"
    assert invited.headers["Zed-Token"]
    assert (await acme.invitation(invited.json()["id"])).times_sent == 1
    refused(await acme.invite("bob", ["support"]), 409, "already_invited")


async def test_a_failed_mail_can_be_resent(acme: Organization, broken: Broken) -> None:
    id = (await acme.invite("bob", ["support"])).json()["id"]
    path = f"{acme.path}/invitations/{id}/resend"
    assert (await acme.administrator.ask("POST", path)).json()["delivery"] == "failed"

    broken.failure = None

    assert (await acme.administrator.ask("POST", path)).json()["delivery"] == "sent"
    assert (await acme.accept("bob")).status_code == 200


async def test_a_refused_invitation_sends_no_mail(acme: Organization) -> None:
    await acme.invite("bob", ["administrator"])
    await acme.invite("bob", ["wizard"])
    await acme.administrator.ask(
        "POST",
        f"{acme.path}/invitations",
        json={"email": acme.address("bob"), "roles": ["support"]},
        headers={"Idempotency-Key": "x" * 300},
    )
    assert acme.deployment.mails_to(acme.address("bob")) == []


async def test_the_log_contains_the_failure_but_no_secret_and_no_address(
    acme: Organization, broken: Broken, capsys: pytest.CaptureFixture[str]
) -> None:
    broken.failure = OSError(f"<{acme.address('bob')}> is nobody here")
    id = (await acme.invite("bob", ["support"])).json()["id"]

    logged = capsys.readouterr().out

    assert "mail_failed" in logged
    assert id in logged
    assert acme.address("bob") not in logged
