"""SpiceDB as a child process, with its relationships in our PostgreSQL."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import grpc

from teamaccess.common.configuration.settings import PREFIX
from teamaccess.local.errors import CommandFailed
from teamaccess.local.supervisor import Supervisor
from teamaccess.upkeep.datastore import STATEMENT_CACHE

FLAGS = (
    "--datastore-engine=postgres",
    "--datastore-conn-pool-read-max-open=10",
    "--datastore-conn-pool-read-min-open=2",
    "--datastore-conn-pool-write-max-open=10",
    "--datastore-conn-pool-write-min-open=2",
    "--dispatch-cache-max-cost=128MiB",
    "--watch-api-heartbeat=100ms",
    "--grpc-shutdown-grace-period=1s",
    "--metrics-enabled=false",
    "--telemetry-endpoint=",
)
FRESHNESS_FLAGS = (
    # A check with minimize_latency gets an answer that is at most this old.
    # docs/explanation/benchmarks.md says what that costs.
    "--datastore-revision-quantization-interval=500ms",
    "--datastore-revision-quantization-max-staleness-percent=0",
)
QUIET = ("--skip-release-check", "--log-level=warn")
USERSETS_INDEX = """
CREATE INDEX IF NOT EXISTS relation_tuple_usersets_idx ON relation_tuple
  (namespace, object_id, relation) WHERE userset_relation <> '...';
"""
"""An index for SpiceDB's database. It finds the teams that hold a role fast, even if a million people
hold the role too (docs/decisions/0017)."""
CHANNEL_OPTIONS = (
    ("grpc.enable_http_proxy", 0),  # a proxy in the environment cannot reach our loopback
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 100),
)
SERVING = b"\x08\x01"
"""grpc.health.v1.HealthCheckResponse(status=SERVING)"""


class LocalSpiceDB:
    """One SpiceDB on 127.0.0.1, with its own database."""

    def __init__(
        self,
        binary: Path,
        supervisor: Supervisor,
        *,
        database_url: str,
        key: str,
        port: int,
        parameters: Mapping[str, str] = STATEMENT_CACHE,
    ) -> None:
        self.endpoint = f"127.0.0.1:{port}"
        self.key = key
        self._binary, self._supervisor = binary, supervisor
        # SECURITY: secrets go into the environment, because every user can read a process's arguments
        self._environment = without_foreign_settings() | {
            "SPICEDB_DATASTORE_CONN_URI": with_parameters(database_url, parameters),
            "SPICEDB_GRPC_PRESHARED_KEY": key,
        }

    def start(self, name: str = "spicedb", options: Sequence[str] = FRESHNESS_FLAGS) -> None:
        """Start the server on a migrated datastore, and wait until it answers.

        `options` are further flags. They replace FRESHNESS_FLAGS.
        """
        child = self._supervisor.start(
            name,
            [self._binary, "serve", f"--grpc-addr={self.endpoint}", *FLAGS, *options, *QUIET],
            environment=self._environment,
        )
        with grpc.insecure_channel(self.endpoint, CHANNEL_OPTIONS) as channel:
            self._supervisor.wait_until(child, lambda: is_serving(channel), seconds=60)
        self.pid = child.pid

    def migrate(self) -> None:
        """Upgrade the datastore's tables to this version of SpiceDB."""
        ended = subprocess.run(
            [self._binary, "datastore", "migrate", "head", "--datastore-engine=postgres", *QUIET],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if ended.returncode != 0:
            raise CommandFailed(command="spicedb datastore migrate", output="\n" + ended.stdout)


def without_foreign_settings() -> dict[str, str]:
    """Return our environment without our secrets and the settings of another SpiceDB or PostgreSQL.

    SpiceDB's driver reads the variables of libpq too. `PGSERVICE`, for example, would lead it elsewhere.
    """
    excluded = ("SPICEDB_", "PG", PREFIX)
    return {name: value for name, value in os.environ.items() if not name.startswith(excluded)}


def with_parameters(url: str, parameters: Mapping[str, str]) -> str:
    """Return a libpq URL with further parameters."""
    parts = urlsplit(url)
    query = "&".join(filter(None, [parts.query, urlencode(parameters)]))
    return parts._replace(query=query).geturl()


def is_serving(channel: grpc.Channel) -> bool:
    """Return whether the server's health check says that it is serving."""
    health: grpc.UnaryUnaryMultiCallable[bytes, bytes]
    health = channel.unary_unary("/grpc.health.v1.Health/Check")
    try:
        return bool(health(b"", timeout=1) == SERVING)
    except grpc.RpcError:
        return False
