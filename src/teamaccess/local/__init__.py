"""Run everything on one machine, for development and tests.

PostgreSQL comes from a Python wheel. SpiceDB is found on this machine or compiled.
"""

from importlib.util import find_spec

NEEDED = ("psutil", "platformdirs", "rich")
"""Packages of the extra `embedded` that the modules of this package import."""

for _name in NEEDED:
    if find_spec(_name) is None:
        raise ModuleNotFoundError(
            f"teamaccess.local needs {_name}. Run: pip install 'teamaccess[embedded]'", name=_name
        )
