"""Invitations sent and accepted, one after another and in many organizations at once."""

import email
import re
from collections import defaultdict
from pathlib import Path

from benchmarks.support import population
from benchmarks.support.environment import Environment
from benchmarks.support.http_connection import Connection
from benchmarks.support.load import Done, Figures, Run, drive
from benchmarks.support.population import SignedInUser
from benchmarks.support.report import Row, Table
from teamaccess.common.progress import Meter
from teamaccess.service import open_service
from teamaccess.storage import OrganizationId

INVITATIONS = {1: 128, 8: 32, 64: 8}
"""The number of invitations of each organization, by the number of organizations."""


class InviteWorker:
    """An administrator who invites one new address after another."""

    def __init__(
        self, port: int, organization: OrganizationId, administrator: SignedInUser, invitations: int
    ) -> None:
        self._connection = Connection(port)
        self._organization, self._token = organization, administrator.token
        self._left = invitations

    async def __call__(self) -> None:
        """Invite the next address."""
        if self._left == 0:
            raise Done
        self._left -= 1
        body = {"email": f"{self._left}@{self._organization}.example", "roles": ["support"]}
        path = f"/v1/organizations/{self._organization}/invitations"
        await self._connection.ask(201, "POST", path, self._token, body)


class AcceptWorker:
    """New people who accept the invitations of one organization, one after another."""

    def __init__(self, port: int, secrets: list[str]) -> None:
        self._connection = Connection(port)
        self._secrets = secrets

    async def __call__(self) -> None:
        """Accept the next invitation."""
        if not self._secrets:
            raise Done
        accepted = {"token": self._secrets.pop(), "name": "Somebody New"}
        await self._connection.ask(200, "POST", "/v1/invitations/accept", body=accepted)


async def measure(environment: Environment) -> list[Table]:
    """Invite people, then accept the invitations."""
    rows: list[Row] = []
    async with open_service(environment.settings) as service:
        for organizations, each in INVITATIONS.items():
            inviting = []
            for _ in range(organizations):
                id = await population.create_organization(service)
                [administrator] = await population.add_administrators(service, id, 1)
                inviting.append(InviteWorker(environment.port, id, administrator, each))
            with Meter(f"invitations, {organizations} at once", "passes", 2) as meter:
                sent = await drive(inviting)
                meter.step()
                mails = _secrets(environment.settings.home)
                accepting = [AcceptWorker(environment.port, secrets) for secrets in mails]
                accepted = await drive(accepting)
                meter.step()
            rows += [_row("invitations", organizations, sent)]
            rows += [_row("acceptances", organizations, accepted)]
    return [Table("Invitations: sent as files, accepted by new people", rows)]


def _row(what: str, organizations: int, run: Run) -> Row:
    figures = Figures([run])
    return {
        "what": what,
        "organizations at once": str(organizations),
        "per second": figures.per_second,
        "median ms": figures.median_ms,
        "p95 ms": figures.p95_ms,
        "late": figures.late,
    }


def _secrets(home: Path) -> list[list[str]]:
    """Return the secrets in the mails, a list for each organization, and delete the mails."""
    secrets: dict[str, list[str]] = defaultdict(list)
    for path in (home / "mail").glob("*.eml"):
        mail = email.message_from_bytes(path.read_bytes())
        secret = re.search(r"[?&]token=([\w-]+)", str(mail.get_payload()))
        if secret is not None:
            secrets[str(mail["To"]).partition("@")[2]].append(secret[1])
        path.unlink()
    return list(secrets.values())
