"""The HTTP server: uvicorn, with limits on what one connection can cost the process."""

from teamaccess.server.limits import Limits, TooFewDescriptors
from teamaccess.server.server import LimitedServer, create_server

__all__ = ["LimitedServer", "Limits", "TooFewDescriptors", "create_server"]
