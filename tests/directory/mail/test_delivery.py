"""What became of a mail: the invitation stays, shows it, and can be sent again after a failure."""

import errno
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import aiosmtplib
import pytest

from teamaccess.changes import Ledger
from teamaccess.common.configuration.limits import Limits
from teamaccess.directory.mail import (
    FileMailer,
    Mail,
    Mailer,
    NoMailer,
    SmtpMailer,
    UnsafeMail,
)
from teamaccess.storage import Delivery
from tests.support.inbox import Inbox, url
from tests.support.organization import Organization
from tests.support.responses import refused


class Broken:
    """A mailer that fails until a test repairs it."""

    def __init__(self, works: Any, failure: Exception) -> None:
        self.works = works
        self.failure: Exception | None = failure

    async def send(self, mail: Mail) -> Delivery:
        if self.failure is not None:
            raise self.failure
        delivery: Delivery = await self.works.send(mail)
        return delivery


FAILURES = [
    OSError("connection refused"),
    TimeoutError("too slow"),
    aiosmtplib.SMTPRecipientsRefused([aiosmtplib.SMTPRecipientRefused(550, "no", "bob")]),
    ValueError("a mistake of ours"),
]
PROBLEMS = {
    "OSError": (OSError("no route"), "mail_server_unreachable", False),
    "refused connection": (
        aiosmtplib.SMTPConnectError("no"),
        "mail_server_unreachable",
        False,
    ),
    "sign-in": (
        aiosmtplib.SMTPAuthenticationError(535, "password p4ss"),
        "mail_server_refused_sign_in",
        False,
    ),
    "unsafe": (UnsafeMail("headers"), "mail_not_safe", False),
    "recipient": (FAILURES[2], "recipient_refused", True),
    "text": (aiosmtplib.SMTPDataError(554, "spam"), "mail_refused", True),
    "timeout": (TimeoutError("slow"), "mail_server_timeout", True),
    "hung up": (aiosmtplib.SMTPServerDisconnected("bye"), "mail_server_timeout", True),
    "mistake": (ValueError("ours"), "internal_error", True),
}
"""A failure, the problem that the invitation shows, and whether the mail counts for limits."""


@pytest.fixture
def use_mailer(acme: Organization) -> Iterator[Callable[[Mailer], None]]:
    """Replaces the mailer until the end of the test."""
    service = acme.deployment.service
    before = service.mailer
    yield lambda mailer: object.__setattr__(service, "mailer", mailer)
    object.__setattr__(service, "mailer", before)


async def listed(organization: Organization, id: str) -> dict[str, Any]:
    """An invitation, as the list shows it."""
    answer = await organization.administrator.ask("GET", f"{organization.path}/invitations")
    return next(each for each in answer.json()["items"] if each["id"] == id)


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
    shown = await listed(acme, invited.json()["id"])
    assert (shown["delivery"], shown["delivery_at"]) == ("failed", invited.json()["delivery_at"])
    assert invited.headers["Zed-Token"]
    assert (await acme.invitation(invited.json()["id"])).times_sent == 1
    refused(await acme.invite("bob", ["support"]), 409, "already_invited")


async def test_a_failed_mail_can_be_resent(acme: Organization, broken: Broken) -> None:
    id = (await acme.invite("bob", ["support"])).json()["id"]
    path = f"{acme.path}/invitations/{id}/resend"
    assert (await acme.administrator.ask("POST", path)).json()["delivery"] == "failed"

    broken.failure = None

    assert (await acme.administrator.ask("POST", path)).json()["delivery"] == "file"
    assert (await listed(acme, id))["delivery"] == "file"
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


@pytest.mark.parametrize("case", PROBLEMS)
async def test_a_failure_is_shown_as_a_code_and_counts_only_if_a_server_may_have_the_mail(
    acme: Organization,
    use_mailer: Callable[[Mailer], None],
    monkeypatch: pytest.MonkeyPatch,
    case: str,
) -> None:
    failure, problem, counts = PROBLEMS[case]
    monkeypatch.setattr(Ledger, "limits", Limits(invitations_a_day_to_one_mailbox=1))
    works = acme.deployment.service.mailer
    use_mailer(Broken(works, failure))
    invited = (await acme.invite("bob", ["support"])).json()
    use_mailer(works)

    assert (invited["delivery"], invited["delivery_problem"]) == ("failed", problem)
    assert (await listed(acme, invited["id"]))["delivery_problem"] == problem
    resent = await acme.administrator.ask("POST", f"{acme.path}/invitations/{invited['id']}/resend")
    if counts:
        refused(resent, 429, "sent_too_often")
    else:
        assert (resent.json()["delivery"], resent.json()["delivery_problem"]) == ("file", None)


@pytest.mark.parametrize("obstacle", ["a file in place of the folder", "a full disk"])
async def test_a_mail_that_cannot_be_written_into_a_file_blames_no_server(
    acme: Organization,
    use_mailer: Callable[[Mailer], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    obstacle: str,
) -> None:
    folder = tmp_path / "mail"
    if obstacle == "a full disk":
        full = OSError(errno.ENOSPC, "No space left on device")
        monkeypatch.setattr(Path, "write_bytes", Mock(side_effect=full))
    else:
        folder.touch()
    use_mailer(FileMailer(folder))
    invited = (await acme.invite("bob", ["support"])).json()
    assert (invited["delivery"], invited["delivery_problem"]) == ("failed", "mail_not_written")


async def test_a_repeated_request_says_what_became_of_the_mail(
    acme: Organization, use_mailer: Callable[[Mailer], None]
) -> None:
    works = acme.deployment.service.mailer
    use_mailer(Broken(works, OSError("away")))
    key = {"Idempotency-Key": "once"}
    body = {"email": acme.address("bob"), "roles": ["support"]}
    path = f"{acme.path}/invitations"
    first = await acme.administrator.ask("POST", path, json=body, headers=key)
    second = await acme.administrator.ask("POST", path, json=body, headers=key)
    assert second.json() == first.json()
    assert second.json()["delivery"] == "failed"

    use_mailer(works)
    resend = f"{path}/{first.json()['id']}/resend"
    for _ in range(2):
        resent = await acme.administrator.ask("POST", resend, headers={"Idempotency-Key": "two"})
        assert resent.json()["delivery"] == "file"
    third = await acme.administrator.ask("POST", path, json=body, headers=key)
    assert (third.json()["id"], third.json()["delivery"]) == (first.json()["id"], "file")
    assert len(acme.deployment.mails_to(acme.address("bob"))) == 1


async def test_a_mail_to_a_server_is_sent_and_mail_turned_off_is_off(
    acme: Organization, use_mailer: Callable[[Mailer], None]
) -> None:
    inbox = Inbox()
    with inbox.serving() as server:
        use_mailer(SmtpMailer(url(server)))
        sent = (await acme.invite("bob", ["support"])).json()
    use_mailer(NoMailer())
    off = (await acme.invite("eve", ["support"])).json()

    assert (sent["delivery"], off["delivery"]) == ("sent", "off")
    assert (await listed(acme, sent["id"]))["delivery"] == "sent"
    assert (await listed(acme, off["id"]))["delivery"] == "off"
    assert inbox.newest()["To"] == acme.address("bob")
    assert acme.deployment.mails_to(acme.address("eve")) == []


async def test_a_mail_whose_process_ended_is_shown_as_interrupted(acme: Organization) -> None:
    id = (await acme.invite("bob", ["support"])).json()["id"]
    pending = (
        "UPDATE invitation_deliveries SET status = 'pending', at = now() - $2::interval"
        " WHERE invitation_id = $1"
    )
    await acme.deployment.execute_without_triggers(pending, id, timedelta(seconds=10))
    assert (await listed(acme, id))["delivery"] == "pending"

    await acme.deployment.execute_without_triggers(pending, id, timedelta(minutes=3))

    shown = await listed(acme, id)
    assert (shown["delivery"], shown["delivery_problem"]) == ("failed", "interrupted")


async def test_an_invitation_of_an_earlier_version_says_nothing_about_its_mail(
    acme: Organization,
) -> None:
    id = (await acme.invite("bob", ["support"])).json()["id"]
    await acme.deployment.execute_without_triggers(
        "DELETE FROM invitation_deliveries WHERE invitation_id = $1", id
    )
    assert (await listed(acme, id))["delivery"] is None
