"""The gRPC channel to SpiceDB."""

import json
import os
from pathlib import Path
from urllib.parse import urlsplit

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

PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")
"""The variables in which gRPC looks for a proxy. The first one counts."""
EXEMPTIONS = ("no_grpc_proxy", "no_proxy")
"""The variables with endings of the hosts that gRPC reaches without a proxy. The first one counts."""

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


def proxy_for(endpoint: str) -> str | None:
    """Return host and port of the proxy through which gRPC reaches an encrypted endpoint, if any.

    gRPC reads these variables itself, and its errors name the proxy's address as if it were SpiceDB's.
    """
    named = next((os.environ[name] for name in PROXIES if os.environ.get(name)), None)
    if named is None or is_local_endpoint(endpoint):
        return None
    exempt = next((os.environ[name] for name in EXEMPTIONS if os.environ.get(name)), "")
    host = endpoint.rpartition(":")[0].rpartition("/")[2]
    if any(host.endswith(each.strip()) for each in exempt.split(",") if each.strip()):
        return None
    return urlsplit(named).netloc.rpartition("@")[2]  # never its password
