"""The bare baseline: a check, a commit and a write, each as directly as Python can make it."""

import itertools
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import asyncpg
import grpc
from authzed.api.v1 import (
    CheckBulkPermissionsRequest,
    CheckBulkPermissionsRequestItem,
    CheckPermissionResponse,
    Consistency,
    ObjectReference,
    Relationship,
    RelationshipUpdate,
    SubjectReference,
    WriteRelationshipsRequest,
    ZedToken,
)
from authzed.api.v1.permission_service_pb2_grpc import PermissionsServiceStub

from benchmarks.support.environment import Environment
from benchmarks.support.load import NotEnforcedYet
from teamaccess.local.postgres.server import APPLICATION, OWNER
from teamaccess.storage import OrganizationId, UserId

if TYPE_CHECKING:
    from authzed.api.v1.permission_service_pb2_grpc import PermissionsServiceAsyncStub

HAS = CheckPermissionResponse.PERMISSIONSHIP_HAS_PERMISSION
CONNECTIONS = 16
TABLE = """
CREATE TABLE bare (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text);
GRANT INSERT ON bare TO teamaccess;
"""
NOTE = "an entry about as long as the ledger's own rows are: who, what, when, why, and a hash. " * 4


@dataclass
class BareStack:
    """Direct connections to PostgreSQL and SpiceDB."""

    database: asyncpg.Pool
    engine: "PermissionsServiceAsyncStub"
    endpoint: str
    """host:port of SpiceDB."""
    key: tuple[tuple[str, str], ...]
    newest: dict[OrganizationId, str] = field(default_factory=dict)
    """The ZedToken of the last write by organization. The next check there is at least as fresh."""

    async def check(
        self, organization: OrganizationId, user: UserId, permissions: Iterable[str]
    ) -> None:
        """Check in one call that the user has all permissions. Raises PermissionError."""
        resource, subject = reference("organization", organization), reference("user", user)
        response = await self.engine.CheckBulkPermissions(
            CheckBulkPermissionsRequest(
                consistency=self._consistency(organization),
                items=[
                    CheckBulkPermissionsRequestItem(
                        resource=resource,
                        permission=permission,
                        subject=SubjectReference(object=subject),
                    )
                    for permission in permissions
                ],
            ),
            metadata=self.key,
        )
        if not all(pair.item.permissionship == HAS for pair in response.pairs):
            raise PermissionError(organization)

    async def write(
        self, organization: OrganizationId, updates: Iterable[RelationshipUpdate]
    ) -> None:
        """Write all updates or none."""
        response = await self.engine.WriteRelationships(
            WriteRelationshipsRequest(updates=updates), metadata=self.key
        )
        self.newest[organization] = response.written_at.token

    def _consistency(self, organization: OrganizationId) -> Consistency:
        token = self.newest.get(organization)
        if token is None:
            return Consistency(fully_consistent=True)
        return Consistency(at_least_as_fresh=ZedToken(token=token))


@asynccontextmanager
async def bare_stack(environment: Environment) -> AsyncIterator[BareStack]:
    """Connect to both servers."""
    environment.stack.postgres.psql(f"SET ROLE {OWNER}; {TABLE}", database=APPLICATION)
    settings = environment.settings
    async with (
        asyncpg.create_pool(
            settings.database_url, min_size=CONNECTIONS, max_size=CONNECTIONS
        ) as database,
        grpc.aio.insecure_channel(settings.spicedb_endpoint) as channel,
    ):
        key = settings.spicedb_preshared_key.get_secret_value()
        # the stub is typed for blocking channels too; with this channel its answers are awaitable
        engine = cast("PermissionsServiceAsyncStub", PermissionsServiceStub(channel))
        yield BareStack(
            database, engine, settings.spicedb_endpoint, (("authorization", f"Bearer {key}"),)
        )


class BareChange:
    """The bare role change of one administrator: the same checks and as many updates as the real one."""

    def __init__(
        self,
        bare: BareStack,
        organization: OrganizationId,
        administrator: UserId,
        permissions: Iterable[str],
        roles: Iterable[str],
    ) -> None:
        self._bare = bare
        self._organization, self._administrator = organization, administrator
        self._permissions = sorted(permissions)
        self._roles = itertools.pairwise(itertools.cycle(roles))

    async def __call__(self) -> None:
        """Check, commit and write. Raises NotEnforcedYet if SpiceDB gives up."""
        before, after = next(self._roles)
        updates = [
            self._update(RelationshipUpdate.OPERATION_DELETE, before),
            self._update(RelationshipUpdate.OPERATION_TOUCH, after),
        ]
        try:
            await self._bare.check(self._organization, self._administrator, self._permissions)
            await self._bare.database.execute("INSERT INTO bare (note) VALUES ($1)", NOTE)
            await self._bare.write(self._organization, updates)
        except grpc.aio.AioRpcError as error:
            raise NotEnforcedYet(error.code()) from error

    def _update(
        self, operation: "RelationshipUpdate.Operation.ValueType", role: str
    ) -> RelationshipUpdate:
        user = reference("user", f"{self._administrator}-bare")
        return RelationshipUpdate(
            operation=operation,
            relationship=Relationship(
                resource=reference("organization", self._organization),
                relation=role,
                subject=SubjectReference(object=user),
            ),
        )


def reference(type: str, id: str) -> ObjectReference:
    """Return SpiceDB's message for an object."""
    return ObjectReference(object_type=type, object_id=id)
