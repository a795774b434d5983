"""Organizations as tests tell of them: real people over the real API, on the real parts."""

import email
import email.policy
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from authzed.api.v1 import (
    CheckPermissionRequest,
    CheckPermissionResponse,
    Consistency,
    ObjectReference,
    SubjectReference,
    ZedToken,
)
from authzed.api.v1.permission_service_pb2_grpc import PermissionsServiceStub
from grpc.aio import insecure_channel
from sqlalchemy import select

from teamaccess.api import create_app
from teamaccess.changes import Change
from teamaccess.common.settings import Settings
from teamaccess.directory.members.administrators import grant_administrator
from teamaccess.directory.organizations.create import create_organization
from teamaccess.directory.schemas.apply import apply_schema
from teamaccess.directory.users.tokens import LONGEST_LIFE, Audience, issue_access_token
from teamaccess.ledger import Attribution
from teamaccess.service import Service
from teamaccess.storage import Channel as Door
from teamaccess.storage import LedgerEntry, Membership, OrganizationId, UserId

OPERATOR = Attribution("operator:tests", Door.OPERATOR, "tests")


@dataclass
class World:
    """One running teamaccess: the API, the services behind it, and a client that knows none of us."""

    settings: Settings
    owner_url: str
    service: Service
    http: httpx.AsyncClient
    engine: Any
    """SpiceDB as any service reaches it; the types of its stub know no asyncio."""

    def _repr_pretty_(self, printer: Any, _: bool) -> None:
        """Hypothesis shows what a test was given, and this is a whole application."""
        printer.text(f"<{self.settings.catalog}>")

    async def check(
        self,
        organization: str,
        user: str,
        permission: str,
        at: str | None = None,
        resource: str | None = None,
    ) -> bool:
        """CheckPermission with a plain authzed client, fully consistent unless a ZedToken is given."""
        kind, _, id = (resource or f"organization:{organization}").partition(":")
        consistency = (
            Consistency(at_least_as_fresh=ZedToken(token=at))
            if at
            else Consistency(fully_consistent=True)
        )
        key = self.settings.spicedb_preshared_key.get_secret_value()
        response = await self.engine.CheckPermission(
            CheckPermissionRequest(
                consistency=consistency,
                resource=ObjectReference(object_type=kind, object_id=id),
                permission=permission,
                subject=SubjectReference(
                    object=ObjectReference(object_type="user", object_id=user)
                ),
            ),
            metadata=(("authorization", f"Bearer {key}"),),
        )
        return bool(
            response.permissionship == CheckPermissionResponse.PERMISSIONSHIP_HAS_PERMISSION
        )

    async def give_schema(self) -> None:
        """Have SpiceDB enforce the catalog, as an operator does in the beginning."""
        service = self.service
        await apply_schema(service.ledger, service.engine, service.catalog, OPERATOR)

    async def token(self, user: str, audience: Audience = Audience.USER) -> str:
        """A valid access token, as `teamaccess token issue` makes it."""
        return issue_access_token(
            self.service.keys, audience, user, await self.service.now(), LONGEST_LIFE
        )

    async def signed_in_operator(self) -> "Person":
        """Whoever runs the service, with an operator's token."""
        token = await self.token("tests", Audience.OPERATOR)
        return Person(self, UserId("tests"), "", token)

    async def create(self, name: str = "acme") -> "Team":
        """A new organization with one administrator, made by an operator."""
        id = OrganizationId(f"{name}-{secrets.token_hex(4)}")
        async with self.operator() as change:
            await create_organization(change, id, name.title(), founder=None)
        async with self.operator(id) as change:
            membership = await grant_administrator(
                change, id, f"ana@{id}.example", "the first administrator"
            )
        ana = await self._person(id, membership)
        return Team(self, id, ana, {"ana": ana})

    @asynccontextmanager
    async def operator(
        self, *organizations: OrganizationId, even_if_stopped: bool = False
    ) -> AsyncIterator[Change]:
        """A change by an operator, committed and enforced at the end."""
        async with self.service.ledger.change(
            OPERATOR, *organizations, even_if_stopped=even_if_stopped
        ) as change:
            yield change
            await self.service.ledger.commit(change)

    async def _person(self, organization: OrganizationId, membership: Membership) -> "Person":
        token = await self.token(membership.user_id)
        return Person(self, membership.user_id, f"ana@{organization}.example", token)

    def mails_to(self, address: str) -> list[str]:
        """The texts of all mails to an address, the oldest first."""
        folder = self.settings.home / "mail"
        found = [
            email.message_from_string(path.read_text(), policy=email.policy.default)
            for path in sorted(folder.glob("*.eml"), key=lambda path: path.stat().st_mtime_ns)
        ]
        return [str(mail.get_content()) for mail in found if mail["To"] == address]

    def secret_for(self, address: str) -> str:
        """The secret in the newest invitation to an address."""
        match = re.search(r"[?&]token=([\w-]+)", self.mails_to(address)[-1])
        assert match is not None
        return match.group(1)


@dataclass
class Person:
    """Somebody who is signed in."""

    world: World
    id: UserId
    email: str
    token: str

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """A request of this person's; `headers` and `json` as httpx takes them."""
        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        return await self.world.http.request(method, path, headers=headers, **more)


@dataclass
class Team:
    """An organization and the people that a test knows by their first names."""

    world: World
    id: OrganizationId
    administrator: Person
    people: dict[str, Person] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Where the API has it."""
        return f"/v1/organizations/{self.id}"

    def address(self, name: str) -> str:
        """Where somebody is reached."""
        return f"{name}@{self.id}.example"

    async def invite(
        self, name: str, roles: list[str], by: Person | None = None, **more: Any
    ) -> httpx.Response:
        """Invite somebody through the API."""
        return await (by or self.administrator).ask(
            "POST",
            f"{self.path}/invitations",
            json={"email": self.address(name), "roles": roles, **more},
        )

    async def accept(self, name: str, **more: Any) -> httpx.Response:
        """Accept the newest invitation to somebody, with the link of its mail."""
        secret = self.world.secret_for(self.address(name))
        return await self.world.http.post(
            "/v1/invitations/accept", json={"token": secret, "name": name.title()}, **more
        )

    async def member(self, name: str, roles: list[str]) -> Person:
        """Invite somebody and have them accept; returns them signed in."""
        invited = await self.invite(name, roles)
        assert invited.status_code == 201, invited.text
        accepted = (await self.accept(name)).raise_for_status().json()
        person = Person(
            self.world, UserId(accepted["user"]), self.address(name), accepted["access_token"]
        )
        self.people[name] = person
        return person

    async def change_roles(
        self, whom: Person, *roles: str, by: Person | None = None, **more: Any
    ) -> httpx.Response:
        """Replace somebody's roles through the API."""
        return await (by or self.administrator).ask(
            "PUT",
            f"{self.path}/members/{whom.id}/roles",
            json={"roles": [{"role": role} for role in roles]},
            **more,
        )

    async def act(self, verb: str, whom: Person, by: Person | None = None) -> httpx.Response:
        """`suspend` or `reactivate` a member, or `remove` them."""
        person = by or self.administrator
        if verb == "remove":
            return await person.ask("DELETE", f"{self.path}/members/{whom.id}")
        return await person.ask("POST", f"{self.path}/members/{whom.id}/{verb}")

    async def can(self, whom: Person, permission: str, at: str | None = None) -> bool:
        """What a service would be told."""
        return await self.world.check(self.id, whom.id, permission, at)

    async def ledger(self) -> list[list[str]]:
        """The updates of every position, in order."""
        async with self.world.service.sessions() as session:
            rows = await session.scalars(
                select(LedgerEntry.updates)
                .where(LedgerEntry.organization_id == self.id)
                .order_by(LedgerEntry.position)
            )
            return [list(row) for row in rows]


@asynccontextmanager
async def open_world(settings: Settings, owner_url: str) -> AsyncIterator[World]:
    """Run the application in this event loop, with clients for both of its sides."""
    app = create_app(settings)
    transport = httpx.ASGITransport(
        app=app,  # type: ignore[arg-type]
        raise_app_exceptions=False,
    )
    async with (
        app.lifespan(),
        httpx.AsyncClient(transport=transport, base_url="http://teamaccess.test") as http,
        insecure_channel(settings.spicedb_endpoint) as channel,
    ):
        yield World(settings, owner_url, app.state.service, http, PermissionsServiceStub(channel))
