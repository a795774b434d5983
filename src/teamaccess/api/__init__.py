"""The HTTP API. It makes no decisions: it calls the use cases and commits."""

from teamaccess.api.app import create_app

__all__ = ["create_app"]
