"""The routes, a file for each thing they are about."""

from typing import Final

from litestar.types import ControllerRouterHandler

from teamaccess.api.routes import (
    access_requests,
    changes,
    health,
    invitations,
    landing,
    me,
    members,
    organizations,
    roles,
    teams,
)

ALL: Final[list[ControllerRouterHandler]] = [
    *health.routes,
    *landing.routes,
    *me.routes,
    *organizations.routes,
    *members.routes,
    *teams.routes,
    *invitations.routes,
    *access_requests.routes,
    *roles.routes,
    *changes.routes,
]
