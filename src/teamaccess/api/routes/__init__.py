"""The routes, a file for each thing they are about."""

from typing import Final

from litestar.types import ControllerRouterHandler

from teamaccess.api.routes import (
    access_requests,
    audit,
    changes,
    checks,
    health,
    invitations,
    landing,
    me,
    members,
    organizations,
    plans,
    resources,
    roles,
    service_accounts,
    teams,
)

ALL: Final[list[ControllerRouterHandler]] = [
    *landing.routes,
    *health.routes,
    *me.routes,
    *organizations.routes,
    *members.routes,
    *teams.routes,
    *invitations.routes,
    *access_requests.routes,
    *resources.routes,
    *checks.routes,
    *service_accounts.routes,
    *roles.routes,
    *changes.routes,
    *audit.routes,
    *plans.routes,
]
