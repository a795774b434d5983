"""SpiceDB as our own child, its relationships in our PostgreSQL."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import grpc

from teamaccess.common.settings import PREFIX
from teamaccess.local.errors import CommandFailed
from teamaccess.local.supervisor import Supervisor

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
    # What a check that asks for the cheapest answer is told is not older than that;
    # docs/explanation/benchmarks.md says what it costs.
    "--datastore-revision-quantization-interval=500ms",
    "--datastore-revision-quantization-max-staleness-percent=0",
)
QUIET = ("--skip-release-check", "--log-level=warn")
USERSETS_INDEX = """
CREATE INDEX IF NOT EXISTS relation_tuple_usersets_idx ON relation_tuple
  (namespace, object_id, relation) WHERE userset_relation <> '...';
"""
"""For SpiceDB's database: which teams hold a role is found beside a million people who hold it, too
(docs/decisions/0017)."""
FAST_RECONNECT = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 100),
)
SERVING = b"\x08\x01"
"""grpc.health.v1.HealthCheckResponse(status=SERVING)"""


class LocalSpiceDB:
    """One SpiceDB on 127.0.0.1, on a database of its own."""

    def __init__(
        self, binary: Path, supervisor: Supervisor, *, database_url: str, key: str, port: int
    ) -> None:
        self.endpoint = f"127.0.0.1:{port}"
        self.key = key
        self._binary, self._supervisor = binary, supervisor
        # Secrets travel in the environment: everybody can read the arguments of a process.
        self._environment = without_foreign_settings() | {
            "SPICEDB_DATASTORE_CONN_URI": database_url,
            "SPICEDB_GRPC_PRESHARED_KEY": key,
        }

    def start(self, name: str = "spicedb", options: Sequence[str] = FRESHNESS_FLAGS) -> None:
        """Serve, on a datastore that is migrated, and wait until it answers.

        `options` are further flags, in place of those that say how old the cheapest answer may be.
        """
        child = self._supervisor.start(
            name,
            [self._binary, "serve", f"--grpc-addr={self.endpoint}", *FLAGS, *options, *QUIET],
            environment=self._environment,
        )
        with grpc.insecure_channel(self.endpoint, FAST_RECONNECT) as channel:
            self._supervisor.wait_until(child, lambda: is_serving(channel), seconds=60)
        self.pid = child.pid

    def migrate(self) -> None:
        """Make the datastore's tables what this version expects."""
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
    """Return the environment without what says how another SpiceDB is to run, and without our secrets."""
    foreign = ("SPICEDB_", PREFIX)
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


def is_serving(channel: grpc.Channel) -> bool:
    """Return whether a server answers there and takes questions."""
    health: grpc.UnaryUnaryMultiCallable[bytes, bytes]
    health = channel.unary_unary("/grpc.health.v1.Health/Check")
    try:
        return bool(health(b"", timeout=1) == SERVING)
    except grpc.RpcError:
        return False
