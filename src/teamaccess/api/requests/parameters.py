"""What routes take besides a body: parts of the path, and what is provided to them."""

from typing import Any

from litestar import Request
from litestar.di import NamedDependency
from litestar.params import FromPath

from teamaccess.service import Service
from teamaccess.storage import User

AnyRequest = Request[Any, Any, Any]
"""The request itself, for who is asking."""

InPath = FromPath[str]
"""An id in the path; one that nothing has is a 404."""

TheService = NamedDependency[Service]
"""The process's connections."""

SignedIn = NamedDependency[User]
"""The signed-in user; without one the answer is 401, for an operator 403."""
