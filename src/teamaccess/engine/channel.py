"""The gRPC channel to SpiceDB."""

import json
from pathlib import Path

import grpc
from grpc.aio import Channel

from teamaccess.common.urls import is_local_endpoint

# SpiceDB closes connections after 30 seconds, and a call may meet that moment. Every call is safe to
# retry: reads change nothing, and a repeated write is refused because of its marker.
RETRY = json.dumps(
    {
        "methodConfig": [
            {
                "name": [{"service": "authzed.api.v1.PermissionsService"}],
                "retryPolicy": {
                    "maxAttempts": 3,
                    "initialBackoff": "0.02s",
                    "maxBackoff": "0.2s",
                    "backoffMultiplier": 3,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ]
    }
)

SILENT_MS = 500
"""How long an answer may be outstanding before the channel asks SpiceDB for a sign of life. It is asked
only while a call waits: SpiceDB would close a connection that is asked without any call."""
ANSWER_MS = 1000
"""How long that sign may take. Then the connection counts as dead, and its calls are retried on a new
one. Together with SILENT_MS it is shorter than the time that a check may take."""

LARGEST_MESSAGE = 32 * 1024 * 1024
"""Bytes of one message from SpiceDB. Watch reports each write in one message, and somebody else's import
may be large."""


def channel(endpoint: str, tls_ca: Path | None, *, tls: bool = False) -> Channel:
    """Return a channel without connecting.

    With `tls_ca` or `tls` it is encrypted. Without `tls_ca`, gRPC's own list of public authorities is
    used. The settings decide where plaintext is allowed.
    """
    options: list[tuple[str, str | int]] = [
        ("grpc.service_config", RETRY),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.max_receive_message_length", LARGEST_MESSAGE),
        ("grpc.keepalive_time_ms", SILENT_MS),
        ("grpc.keepalive_timeout_ms", ANSWER_MS),
        ("grpc.http2.ping_timeout_ms", ANSWER_MS),  # for the pings that gRPC sends by itself
    ]
    if tls_ca is None and not tls:
        # SECURITY: a proxy named in the environment could read the key
        return grpc.aio.insecure_channel(endpoint, [*options, ("grpc.enable_http_proxy", 0)])
    if is_local_endpoint(endpoint):
        options.append(
            ("grpc.enable_http_proxy", 0)
        )  # a proxy cannot reach this machine's loopback
    authority = tls_ca.read_bytes() if tls_ca is not None else None
    return grpc.aio.secure_channel(endpoint, grpc.ssl_channel_credentials(authority), options)
