"""Check whether the caller may do something, with one CheckPermission request to SpiceDB."""

import json
import logging
import os
from pathlib import Path

import grpc
from authzed.api.v1 import (
    CheckPermissionRequest,
    CheckPermissionResponse,
    Consistency,
    ObjectReference,
    SubjectReference,
    ZedToken,
)
from authzed.api.v1.permission_service_pb2_grpc import PermissionsServiceStub

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 2.0
THIS_MACHINE = ("127.0.0.1:", "localhost:", "[::1]:", "unix:")
ALLOWED = CheckPermissionResponse.PERMISSIONSHIP_HAS_PERMISSION

# SpiceDB ends each connection after half a minute. A call at that moment is sent again.
RETRY = {
    "name": [{"service": "authzed.api.v1.PermissionsService"}],
    "retryPolicy": {
        "maxAttempts": 3,
        "initialBackoff": "0.05s",
        "maxBackoff": "0.5s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    },
}


def spicedb() -> grpc.Channel:
    """Return a channel to SPICEDB_ENDPOINT, encrypted if SPICEDB_TLS_CA names a certificate authority.

    Without encryption, others on the network could read the key. So plain text is only allowed to the
    same machine, or with SPICEDB_INSECURE=true for a private network.
    """
    endpoint = os.environ["SPICEDB_ENDPOINT"]
    options = [("grpc.service_config", json.dumps({"methodConfig": [RETRY]}))]
    if authority := os.environ.get("SPICEDB_TLS_CA"):
        credentials = grpc.ssl_channel_credentials(Path(authority).read_bytes())
        return grpc.secure_channel(endpoint, credentials, options)
    if not endpoint.startswith(THIS_MACHINE) and os.environ.get("SPICEDB_INSECURE") != "true":
        raise SystemExit(
            f"{endpoint} is another machine: set SPICEDB_TLS_CA, or SPICEDB_INSECURE=true"
        )
    return grpc.insecure_channel(endpoint, [*options, ("grpc.enable_http_proxy", 0)])


class Access:
    """Asks SpiceDB. Only a clear yes lets a call continue. Without an answer, the call ends."""

    def __init__(self, channel: grpc.Channel, key: str) -> None:
        self._permissions = PermissionsServiceStub(channel)
        self._metadata = (("authorization", f"Bearer {key}"),)

    def require(self, permission: str, organization: str, context: grpc.ServicerContext) -> None:
        """End the call unless the caller has the permission in the organization."""
        metadata = dict(context.invocation_metadata())
        user = str(metadata.get("user-id", ""))
        if not user:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "sign in first")
        question = CheckPermissionRequest(
            consistency=_freshness(str(metadata.get("zed-token", ""))),
            resource=ObjectReference(object_type="organization", object_id=organization),
            permission=permission,
            subject=SubjectReference(object=ObjectReference(object_type="user", object_id=user)),
        )
        try:
            answer = self._permissions.CheckPermission(
                question, timeout=TIMEOUT_SECONDS, metadata=self._metadata
            )
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error.details()))
            log.error("no answer to %s: %s %s", permission, error.code(), error.details())
            context.abort(grpc.StatusCode.UNAVAILABLE, "permissions cannot be checked now")
        if answer.permissionship != ALLOWED:
            context.abort(
                grpc.StatusCode.PERMISSION_DENIED, f"this requires {permission} in {organization}"
            )


def _freshness(token: str) -> Consistency:
    """A token can only make the answer fresher, so the caller may choose it."""
    if token:
        return Consistency(at_least_as_fresh=ZedToken(token=token))
    return Consistency(minimize_latency=True)
