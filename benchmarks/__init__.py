"""The cost of operations, and of their bare parts."""

import os
from importlib.util import find_spec

# gRPC reads it when it is loaded. Without it, each process that a benchmark starts would print a warning
# about forking between the lines of the progress. The children run other programs and use no gRPC.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"

NEEDED = ("authzed", "typer", "psutil", "asyncpg")
"""Packages of the extra `embedded`, one of each kind."""

for _name in NEEDED:
    if find_spec(_name) is None:
        raise SystemExit(
            f"The benchmarks need {_name}. Run them with `make bench`, which installs it."
        )
