"""Every error class of the product."""

import importlib
import pkgutil
from collections.abc import Iterator

import teamaccess
from teamaccess.api.problems import STATUS
from teamaccess.api.server.refusals import ConnectionRefusal
from teamaccess.common.errors import TeamaccessError
from teamaccess.local.errors import LocalStackFailed

FAMILIES = {*STATUS, ConnectionRefusal, LocalStackFailed}
"""Base classes that are never raised themselves."""


def product_errors() -> list[type[TeamaccessError]]:
    """Return every error class that is raised, after importing all modules."""
    for module in pkgutil.walk_packages(teamaccess.__path__, "teamaccess."):
        if not module.name.endswith("__main__") and ".migrations." not in module.name:
            importlib.import_module(module.name)
    return [each for each in _subclasses(TeamaccessError) if each not in FAMILIES]


def _subclasses(base: type[TeamaccessError]) -> Iterator[type[TeamaccessError]]:
    for each in base.__subclasses__():
        if each.__module__.startswith("teamaccess."):
            yield each
            yield from _subclasses(each)
