"""The documentation site: `make docs` builds it from `docs/` into `build/site`."""

from importlib.util import find_spec

NEEDED = ("tomlkit", "zensical", "jinja2")
"""Packages of the development group that only this package needs."""

for _name in NEEDED:
    if find_spec(_name) is None:
        raise SystemExit(f"The site needs {_name}. Build it with `make docs`, which installs it.")
