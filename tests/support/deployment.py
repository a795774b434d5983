"""A running teamaccess as the tests use it: the real API, PostgreSQL and SpiceDB."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
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
from teamaccess.common.configuration.settings import Settings
from teamaccess.directory.members.administrators import grant_administrator
from teamaccess.directory.organizations.create import create_organization
from teamaccess.directory.schemas.apply import apply_schema
from teamaccess.directory.users.tokens import LONGEST_LIFE, Audience, issue_access_token
from teamaccess.ledger import Attribution
from teamaccess.local.postgres.server import OWNER, SUPERUSER
from teamaccess.service import Service
from teamaccess.storage import Channel, Event, OrganizationId, UserId
from tests.support.mails import mail_files, read_mail, token_in
from tests.support.organization import Organization
from tests.support.people import Person

OPERATOR = Attribution("operator:tests", Channel.OPERATOR, "tests")


@dataclass
class Deployment:
    """One running teamaccess: the API, the services behind it, and a plain SpiceDB client."""

    settings: Settings
    owner_url: str
    service: Service
    http: httpx.AsyncClient
    engine: Any
    """The stub of authzed's client, as any service uses it. Its types do not cover asyncio."""

    def _repr_pretty_(self, printer: Any, _: bool) -> None:
        """Print a short name, because hypothesis shows the arguments of a failed test."""
        printer.text(f"<{self.settings.catalog}>")

    async def check(
        self,
        organization: str,
        user: str,
        permission: str,
        at: str | None = None,
        resource: str | None = None,
    ) -> bool:
        """Call CheckPermission with a plain client, fully consistent unless `at` is a ZedToken."""
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

    async def apply_schema(self) -> None:
        """Apply the catalog's schema to SpiceDB, as an operator does first."""
        service = self.service
        await apply_schema(service.ledger, service.engine, service.catalog, OPERATOR)

    async def token(self, user: str, audience: Audience = Audience.USER) -> str:
        """A valid access token, as `teamaccess token issue` makes it."""
        return issue_access_token(
            self.service.keys, audience, user, await self.service.now(), LONGEST_LIFE
        )

    async def operator_person(self) -> Person:
        """A caller with an operator's token."""
        token = await self.token("tests", Audience.OPERATOR)
        return Person(self, UserId("tests"), "", token)

    async def create_organization(self, name: str = "acme") -> Organization:
        """Create an organization with one administrator, ana, as an operator does."""
        id = OrganizationId(f"{name}-{secrets.token_hex(4)}")
        async with self.operator() as change:
            await create_organization(change, id, name.title(), founder=None)
        async with self.operator(id) as change:
            membership = await grant_administrator(
                change, id, f"ana@{id}.example", "the first administrator"
            )
        token = await self.token(membership.user_id)
        ana = Person(self, membership.user_id, f"ana@{id}.example", token)
        return Organization(self, id, ana, {"ana": ana})

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

    async def events(self, chain: str) -> list[Event]:
        """A chain of events, in order: an organization's id, a user's id, or `Event.PLATFORM`."""
        async with self.service.reads() as session:
            rows = await session.scalars(
                select(Event).where(Event.chain == chain).order_by(Event.position)
            )
            return list(rows)

    async def execute_without_triggers(self, statement: str, *parameters: Any) -> None:
        """Run a statement as the superuser with triggers disabled, so that nothing is noted."""
        connection = await asyncpg.connect(self.owner_url.replace(OWNER, SUPERUSER, 1))
        try:
            await connection.execute("SET session_replication_role = replica")
            await connection.execute(statement, *parameters)
        finally:
            await connection.close()

    def mails_to(self, address: str) -> list[str]:
        """The texts of all mails to an address, the oldest first."""
        mails = map(read_mail, mail_files(self.settings.home / "mail"))
        return [mail.text for mail in mails if mail.to == address]

    def invitation_token(self, address: str) -> str:
        """The token in the newest invitation to an address."""
        return token_in(self.mails_to(address)[-1])


@asynccontextmanager
async def open_deployment(settings: Settings, owner_url: str) -> AsyncIterator[Deployment]:
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
        yield Deployment(
            settings, owner_url, app.state.service, http, PermissionsServiceStub(channel)
        )
