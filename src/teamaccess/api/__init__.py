"""The people's side: HTTP. It decides nothing; it asks the use cases and commits at the edge."""

from teamaccess.api.app import create_app

__all__ = ["create_app"]
