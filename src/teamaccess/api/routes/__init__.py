"""The routes, a file for each thing they are about."""

from typing import Final

from litestar.types import ControllerRouterHandler

from teamaccess.api.routes import (
    changes,
    health,
    invitations,
    landing,
    me,
    members,
    organizations,
    root,
)

ALL: Final[list[ControllerRouterHandler]] = [
    *root.routes,
    *health.routes,
    *landing.routes,
    *me.routes,
    *organizations.routes,
    *members.routes,
    *invitations.routes,
    *changes.routes,
]
