"""The cost of operations, and of their bare parts."""

import os
from importlib.util import find_spec

from teamaccess.__main__ import QUIET

for _variable, _value in QUIET.items():  # gRPC reads them when it is loaded
    os.environ.setdefault(_variable, _value)

NEEDED = ("authzed", "typer", "psutil", "asyncpg")
"""Packages of the extra `embedded`, one of each kind."""

for _name in NEEDED:
    if find_spec(_name) is None:
        raise SystemExit(
            f"The benchmarks need {_name}. Run them with `make bench`, which installs it."
        )
