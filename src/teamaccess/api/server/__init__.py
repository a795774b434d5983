"""The HTTP server: uvicorn, with limits on what one connection can cost the process."""

from teamaccess.api.server.limits import ConnectionLimits, TooFewDescriptors
from teamaccess.api.server.server import LimitedServer, create_server

__all__ = ["ConnectionLimits", "LimitedServer", "TooFewDescriptors", "create_server"]
