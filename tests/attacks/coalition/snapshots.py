"""Relationships and permissions, read from SpiceDB with a separate client.

Only the catalog's permission names come from teamaccess. Each question is fully consistent.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from authzed.api.v1 import (
    CheckBulkPermissionsRequest,
    CheckBulkPermissionsRequestItem,
    CheckPermissionResponse,
    Consistency,
    LookupSubjectsRequest,
    ObjectReference,
    ReadRelationshipsRequest,
    RelationshipFilter,
    SubjectReference,
)
from authzed.api.v1 import Relationship as RelationshipMessage

from teamaccess.catalog import Catalog, giving_permission
from tests.support.deployment import Deployment

HAS = CheckPermissionResponse.PERMISSIONSHIP_HAS_PERMISSION
NOW = Consistency(fully_consistent=True)
AT_ONCE = 1000
BOOKKEEPING = {"head", "applied"}
Graph = Mapping["Edge", datetime | None]
"""Relationships with their expiry."""
Powers = Mapping[str, frozenset[str]]
"""By user: permissions such as `organization:acme#refunds_create` and `webhook:acme/w1#edit`."""


@dataclass(frozen=True)
class Edge:
    """A relationship."""

    resource: str
    relation: str
    subject: str
    """`user:usr_1`, or `team:acme/pay#member`."""

    def __str__(self) -> str:
        return f"{self.resource}#{self.relation}@{self.subject}"

    @property
    def user(self) -> str | None:
        """The user in the relationship, or None."""
        kind, _, id = self.subject.partition(":")
        return id if kind == "user" else None


@dataclass(frozen=True)
class OrganizationSnapshot:
    """One organization at one moment."""

    graph: Graph = field(default_factory=dict)
    head: str = ""
    """The newest position of the ledger that SpiceDB has."""
    powers: Powers = field(default_factory=dict)

    def of(self, user: str) -> frozenset[str]:
        """The permissions of a user."""
        return self.powers.get(user, frozenset())

    def members(self) -> dict[str, datetime | None]:
        """The active members, with the expiry of their memberships."""
        return {
            edge.user: end
            for edge, end in self.graph.items()
            if edge.relation == "member" and edge.resource.startswith("organization:") and edge.user
        }


class SpiceDBReader:
    """Reads organizations, and asks for permissions wherever a relationship has changed."""

    def __init__(self, deployment: Deployment) -> None:
        self._engine = deployment.engine
        self.catalog: Catalog = deployment.service.catalog
        self._lookups = asyncio.Semaphore(16)
        key = deployment.settings.spicedb_preshared_key.get_secret_value()
        self._metadata = (("authorization", f"Bearer {key}"),)

    async def snapshot(
        self, organization: str, before: OrganizationSnapshot | None = None
    ) -> OrganizationSnapshot:
        """Read one organization. Permissions are asked again only if a relationship has changed."""
        graph, head = await self._read(organization)
        if before is not None and graph == before.graph:
            return OrganizationSnapshot(graph, head, before.powers)
        return OrganizationSnapshot(graph, head, await self._powers(organization, graph))

    async def confirm(
        self, organization: str, users: Iterable[str], snapshot: OrganizationSnapshot
    ) -> None:
        """Check every user against every permission, one by one: both ways of asking must agree."""
        items = [
            CheckBulkPermissionsRequestItem(
                resource=ObjectReference(object_type=kind, object_id=id),
                permission=permission,
                subject=SubjectReference(
                    object=ObjectReference(object_type="user", object_id=user)
                ),
            )
            for user in users
            for kind, id, permission in self._permissions(organization, snapshot.graph)
        ]
        for at in range(0, len(items), AT_ONCE):
            request = CheckBulkPermissionsRequest(consistency=NOW, items=items[at : at + AT_ONCE])
            answer = await self._engine.CheckBulkPermissions(request, metadata=self._metadata)
            for pair in answer.pairs:
                assert not pair.HasField("error"), pair.error
                on, user = pair.request.resource, pair.request.subject.object.object_id
                power = f"{on.object_type}:{on.object_id}#{pair.request.permission}"
                has = pair.item.permissionship == HAS
                assert has <= (power in snapshot.of(user)), f"{user} has {power}, unnoticed"

    async def _read(self, organization: str) -> tuple[Graph, str]:
        wanted = [
            RelationshipFilter(resource_type="organization", optional_resource_id=organization),
            RelationshipFilter(optional_resource_id_prefix=f"{organization}/"),
        ]
        parts = await asyncio.gather(*(self._stream(each) for each in wanted))
        graph: dict[Edge, datetime | None] = {}
        head = ""
        for found in (each for part in parts for each in part):
            edge = _edge(found)
            if edge.relation == "head":
                head = edge.subject
            elif edge.relation not in BOOKKEEPING:
                has_end = found.HasField("optional_expires_at")
                end = found.optional_expires_at.ToDatetime(UTC) if has_end else None
                graph[edge] = end
        return graph, head

    async def _stream(self, wanted: RelationshipFilter) -> list[RelationshipMessage]:
        request = ReadRelationshipsRequest(consistency=NOW, relationship_filter=wanted)
        stream = self._engine.ReadRelationships(request, metadata=self._metadata)
        return [each.relationship async for each in stream]

    def _permissions(self, organization: str, graph: Graph) -> Iterator[tuple[str, str, str]]:
        actions = (action.permission for action in self.catalog.actions.values())
        giving = map(giving_permission, self.catalog.givers)
        for permission in ("membership", "administration", *giving, *actions):
            yield "organization", organization, permission
        for edge in graph:
            if edge.relation == "organization":
                kind, _, id = edge.resource.partition(":")
                yield from ((kind, id, verb) for verb in self.catalog.types[kind].actions)

    async def _powers(self, organization: str, graph: Graph) -> Powers:
        held: dict[str, set[str]] = defaultdict(set)
        asked = list(self._permissions(organization, graph))
        found = await asyncio.gather(*(self._holders(*each) for each in asked))
        for (kind, id, permission), users in zip(asked, found, strict=True):
            for user in users:
                held[user].add(f"{kind}:{id}#{permission}")
        return {user: frozenset(powers) for user, powers in held.items()}

    async def _holders(self, kind: str, id: str, permission: str) -> list[str]:
        request = LookupSubjectsRequest(
            consistency=NOW,
            resource=ObjectReference(object_type=kind, object_id=id),
            permission=permission,
            subject_object_type="user",
        )
        async with self._lookups:
            stream = self._engine.LookupSubjects(request, metadata=self._metadata)
            return [each.subject.subject_object_id async for each in stream]


def _edge(found: RelationshipMessage) -> Edge:
    subject = f"{found.subject.object.object_type}:{found.subject.object.object_id}"
    if found.subject.optional_relation:
        subject += f"#{found.subject.optional_relation}"
    resource = f"{found.resource.object_type}:{found.resource.object_id}"
    return Edge(resource, found.relation, subject)
