"""What a change of a role cannot do without: a check, a commit and a write, with nothing around."""

import itertools
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

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

from benchmarks.load import Late
from benchmarks.site import Site
from teamaccess.catalog import Catalog
from teamaccess.local.postgres import APPLICATION, OWNER
from teamaccess.models import OrganizationId, UserId
from teamaccess.organizations.access import ADMINISTRATION, MEMBERSHIP

HAS = CheckPermissionResponse.PERMISSIONSHIP_HAS_PERMISSION
CONNECTIONS = 16
TABLE = """
CREATE TABLE bare (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text);
GRANT INSERT ON bare TO teamaccess;
"""
NOTE = "an entry about as long as the ledger's own rows are: who, what, when, why, and a hash. " * 4


@dataclass
class Parts:
    """PostgreSQL and SpiceDB, reached as directly as Python can."""

    guard: str
    """The permission that a change of roles takes."""
    database: asyncpg.Pool
    engine: PermissionsServiceStub
    key: tuple[tuple[str, str], ...]
    newest: dict[OrganizationId, str] = field(default_factory=dict)
    """The ZedToken of the last write, at which the next change there has to be judged."""


@asynccontextmanager
async def parts(site: Site, catalog: Catalog) -> AsyncIterator[Parts]:
    """Connect to both."""
    site.stack.postgres.psql(f"SET ROLE {OWNER}; {TABLE}", database=APPLICATION)
    settings = site.settings
    async with (
        asyncpg.create_pool(
            settings.database_url, min_size=CONNECTIONS, max_size=CONNECTIONS
        ) as database,
        grpc.aio.insecure_channel(settings.spicedb_endpoint) as channel,
    ):
        key = settings.spicedb_preshared_key.get_secret_value()
        yield Parts(
            catalog.guards["change_roles"],
            database,
            PermissionsServiceStub(channel),
            (("authorization", f"Bearer {key}"),),
        )


class BareChange:
    """One administrator's worker: the same questions and the same number of updates as ours."""

    def __init__(
        self,
        parts: Parts,
        organization: OrganizationId,
        administrator: UserId,
        roles: Iterable[str],
    ) -> None:
        self._parts, self._organization = parts, organization
        self._object = _object("organization", organization)
        self._subject = SubjectReference(object=_object("user", administrator))
        self._whom = SubjectReference(object=_object("user", f"{administrator}-bare"))
        self._roles = itertools.pairwise(itertools.cycle(roles))
        self._permissions = sorted((MEMBERSHIP, ADMINISTRATION, parts.guard))

    async def __call__(self) -> None:
        """Check, commit, write; raises Late where SpiceDB gives up."""
        try:
            await self._check()
            await self._parts.database.execute("INSERT INTO bare (note) VALUES ($1)", NOTE)
            await self._write()
        except grpc.aio.AioRpcError as error:
            raise Late(error.code()) from error

    async def _check(self) -> None:
        response = await self._parts.engine.CheckBulkPermissions(
            CheckBulkPermissionsRequest(
                consistency=self._consistency(),
                items=[
                    CheckBulkPermissionsRequestItem(
                        resource=self._object, permission=permission, subject=self._subject
                    )
                    for permission in self._permissions
                ],
            ),
            metadata=self._parts.key,
        )
        if not all(pair.item.permissionship == HAS for pair in response.pairs):
            raise PermissionError(self._organization)

    def _consistency(self) -> Consistency:
        token = self._parts.newest.get(self._organization)
        if token is None:
            return Consistency(fully_consistent=True)
        return Consistency(at_least_as_fresh=ZedToken(token=token))

    async def _write(self) -> None:
        before, after = next(self._roles)
        response = await self._parts.engine.WriteRelationships(
            WriteRelationshipsRequest(
                updates=[
                    self._update(RelationshipUpdate.OPERATION_DELETE, before),
                    self._update(RelationshipUpdate.OPERATION_TOUCH, after),
                ]
            ),
            metadata=self._parts.key,
        )
        self._parts.newest[self._organization] = response.written_at.token

    def _update(self, operation: "RelationshipUpdate.Operation", role: str) -> RelationshipUpdate:
        return RelationshipUpdate(
            operation=operation,
            relationship=Relationship(resource=self._object, relation=role, subject=self._whom),
        )


def _object(type: str, id: str) -> ObjectReference:
    return ObjectReference(object_type=type, object_id=id)
