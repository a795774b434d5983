"""Clients of several organizations. They call any API and remember every answer."""

import asyncio
import email
import email.policy
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random

import httpx

from teamaccess.directory.members.administrators import grant_administrator
from teamaccess.directory.users.keys import Keys
from teamaccess.directory.users.tokens import LONGEST_LIFE, Audience, issue_access_token
from teamaccess.storage import OrganizationId, UserId
from tests.faults.cluster import Cluster
from tests.faults.operation_log import Answer, Operation, OperationLog

LINK = re.compile(r"[?&]token=([\w-]+)")
PATIENCE_SECONDS = 40
STAFF = {"bob": ["support"], "dan": ["product"], "eve": ["developer"], "fay": ["operations"]}


@dataclass
class KnownPerson:
    """A person with an address; a user once they have joined anywhere."""

    address: str
    id: UserId | None = None


@dataclass
class KnownOrganization:
    """An organization as its clients know it, which may be out of date."""

    id: OrganizationId
    administrators: list[KnownPerson]
    people: list[KnownPerson]
    invitations: list[tuple[str, KnownPerson]] = field(default_factory=list)
    """The ids of invitations that were sent, each with its invitee."""

    @property
    def path(self) -> str:
        """Its path in the API."""
        return f"/v1/organizations/{self.id}"


@dataclass(frozen=True)
class RequestOptions:
    """The caller, and how the request is sent."""

    by: KnownPerson | None
    retry: bool = False
    """Repeats a failed request with the same Idempotency-Key.

    A request with an unknown outcome is repeated most of the time.
    """
    api: str | None = None
    """The name of the API process that is asked; None for any."""


class Clients:
    """All clients, and the answers they got."""

    def __init__(self, cluster: Cluster, chance: Random) -> None:
        self.log = OperationLog()
        self.organizations: list[KnownOrganization] = []
        self.invitation_tokens: dict[str, list[str]] = {}
        """The tokens in the mails to each address, the oldest first."""
        self.roles: list[str] = []
        self._cluster, self._chance = cluster, chance
        self._keys = Keys.from_secret(cluster.settings.secret_key.get_secret_value())

    async def create_organizations(self, count: int) -> None:
        """Create organizations, each with three administrators and a few members."""
        async with self._cluster.deployment() as deployment:
            self.roles = [
                each for each in deployment.service.catalog.roles if each != "administrator"
            ]
            for _ in range(count):
                organization = await deployment.create_organization("house")
                administrators = [
                    KnownPerson(organization.administrator.email, organization.administrator.id)
                ]
                async with deployment.operator(organization.id) as change:
                    for name in ("cyd", "gil"):
                        address = organization.address(name)
                        administrator = await grant_administrator(
                            change, organization.id, address, "for tests"
                        )
                        administrators.append(KnownPerson(address, administrator.user_id))
                staff = await organization.add_members(STAFF)
                people = [KnownPerson(each.email, each.id) for each in staff.values()]
                self.organizations.append(
                    KnownOrganization(organization.id, administrators, people)
                )

    async def perform(
        self,
        operation: Operation,
        options: RequestOptions,
        method: str,
        path: str,
        json: object = None,
    ) -> httpx.Response | None:
        """Perform an operation and keep the answers.

        Returns the last response if it was acknowledged.
        """
        self.log.operations.append(operation)
        once = {"Idempotency-Key": secrets.token_hex(8)} if method == "POST" else {}
        headers = {**once, **self._signed_in(options.by)}
        response = await self._attempt(operation, options, method, path, json, headers)
        give_up = time.monotonic() + PATIENCE_SECONDS
        while options.retry and self._should_retry(operation.last) and time.monotonic() < give_up:
            await asyncio.sleep(self._chance.uniform(0.05, 0.4))
            response = await self._attempt(operation, options, method, path, json, headers)
        if operation.acknowledged and operation.removed and operation.last.zed_token:
            operation.allowed_after = await self._cluster.spicedb_client.allowed(
                operation.organization, operation.removed, at_least=operation.last.zed_token
            )
        return response if operation.acknowledged else None

    def _should_retry(self, answer: Answer) -> bool:
        return answer.failed or (answer.unknown and self._chance.random() < 0.8)

    async def _attempt(
        self,
        operation: Operation,
        options: RequestOptions,
        method: str,
        path: str,
        json: object,
        headers: Mapping[str, str],
    ) -> httpx.Response | None:
        name = options.api or self._chance.choice(list(self._cluster.apis))
        asked_at = datetime.now(UTC)
        try:
            response = await self._cluster.apis[name].request(
                method, path, headers=headers, json=json
            )
        except httpx.TransportError as cut:
            operation.answers.append(Answer(name, asked_at, datetime.now(UTC), body=repr(cut)))
            return None
        operation.answers.append(Answer.of(name, asked_at, response))
        return response

    def _signed_in(self, who: KnownPerson | None) -> dict[str, str]:
        """A token issued now, so that nobody has to sign in again after a removal."""
        if who is None or who.id is None:
            return {}
        token = issue_access_token(
            self._keys, Audience.USER, who.id, datetime.now(UTC), LONGEST_LIFE
        )
        return {"Authorization": f"Bearer {token}"}

    def read_mails(self) -> None:
        """Read all mails that have arrived."""
        for path in (self._cluster.stack.home.mail).glob("*.eml"):
            mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            match = LINK.search(str(mail.get_content()))
            assert match is not None
            self.invitation_tokens.setdefault(str(mail["To"]), []).append(match.group(1))
            path.unlink()

    def new_person(self) -> KnownPerson:
        """A person who is unknown everywhere."""
        return KnownPerson(f"guest-{secrets.token_hex(6)}@guests.example")
