"""A service that asks SpiceDB for permissions with the plain client, without teamaccess."""

from collections.abc import Iterable
from typing import Any

from authzed.api.v1 import (
    CheckBulkPermissionsRequest,
    CheckBulkPermissionsRequestItem,
    CheckPermissionRequest,
    CheckPermissionResponse,
    Consistency,
    ObjectReference,
    SubjectReference,
    ZedToken,
)
from authzed.api.v1.permission_service_pb2_grpc import PermissionsServiceStub
from grpc.aio import AioRpcError, Channel

YES = CheckPermissionResponse.PERMISSIONSHIP_HAS_PERMISSION


class SpiceDBClient:
    """Asks SpiceDB directly, without any proxy."""

    def __init__(self, channel: Channel, key: str) -> None:
        self._engine: Any = PermissionsServiceStub(channel)
        self._metadata = (("authorization", f"Bearer {key}"),)

    async def allowed(
        self,
        organization: str,
        user: str,
        *,
        at_least: str | None = None,
        exactly: str | None = None,
    ) -> bool | None:
        """Whether the user is a member, at a token or now. None if SpiceDB does not answer."""
        consistency = Consistency(fully_consistent=True)
        if at_least is not None:
            consistency = Consistency(at_least_as_fresh=ZedToken(token=at_least))
        if exactly is not None:
            consistency = Consistency(at_exact_snapshot=ZedToken(token=exactly))
        try:
            response = await self._engine.CheckPermission(
                CheckPermissionRequest(
                    consistency=consistency,
                    resource=_organization(organization),
                    permission="membership",
                    subject=_user(user),
                ),
                metadata=self._metadata,
                timeout=2,
            )
        except AioRpcError:
            return None
        return bool(response.permissionship == YES)

    async def permitted(
        self, organization: str, user: str, permissions: Iterable[str]
    ) -> frozenset[str]:
        """Which of the permissions the user has, fully consistent."""
        response = await self._engine.CheckBulkPermissions(
            CheckBulkPermissionsRequest(
                consistency=Consistency(fully_consistent=True),
                items=[
                    CheckBulkPermissionsRequestItem(
                        resource=_organization(organization),
                        permission=permission,
                        subject=_user(user),
                    )
                    for permission in sorted(permissions)
                ],
            ),
            metadata=self._metadata,
            timeout=20,
        )
        assert not any(pair.HasField("error") for pair in response.pairs)
        return frozenset(
            pair.request.permission for pair in response.pairs if pair.item.permissionship == YES
        )


def _organization(id: str) -> ObjectReference:
    return ObjectReference(object_type="organization", object_id=id)


def _user(id: str) -> SubjectReference:
    return SubjectReference(object=ObjectReference(object_type="user", object_id=id))
