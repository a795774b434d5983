"""The types of routes' parameters other than the body: path parameters and dependencies."""

from typing import Any

from litestar import Request
from litestar.di import NamedDependency
from litestar.params import FromPath

from teamaccess.service import Service
from teamaccess.storage import User

AnyRequest = Request[Any, Any, Any]
"""The request itself, for routes that need more of it than its parameters."""

PathId = FromPath[str]
"""An id in the path. An unknown id is answered with 404."""

ServiceDependency = NamedDependency[Service]
"""The process's connections."""

SignedInUser = NamedDependency[User]
"""The signed-in user. An anonymous caller gets a 401, an operator a 403."""
