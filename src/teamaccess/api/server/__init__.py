"""The HTTP server: uvicorn, with limits on what one connection can cost the process."""

from teamaccess.api.server.limits import Limits, TooFewDescriptors
from teamaccess.api.server.server import LimitedServer, create_server

__all__ = ["LimitedServer", "Limits", "TooFewDescriptors", "create_server"]
