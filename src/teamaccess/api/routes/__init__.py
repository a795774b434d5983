"""The routes, a file for each thing they are about, under the tags of the API reference."""

from typing import Final

from litestar import Router
from litestar.openapi.spec import Tag

from teamaccess.api.routes import audit, changes, checks, health, landing, plans
from teamaccess.api.routes.directory import (
    access_requests,
    invitations,
    me,
    members,
    organizations,
    resources,
    roles,
    service_accounts,
    teams,
)

_TAGGED: Final = [
    (
        Tag("Organizations", "Create, list, rename and delete organizations."),
        [*organizations.routes],
    ),
    (
        Tag("Members", "List members, change their roles, suspend, reactivate and remove them."),
        [*members.routes],
    ),
    (Tag("Invitations", "Invite people by mail, and accept invitations."), [*invitations.routes]),
    (Tag("Teams", "Give roles to a group of members at once."), [*teams.routes]),
    (
        Tag("Roles", "List the roles of the catalog, and make roles of an organization's own."),
        [*roles.routes],
    ),
    (
        Tag("Resources", "Register a product's objects, and grant actions on single ones."),
        [*resources.routes],
    ),
    (
        Tag(
            "Access requests",
            "Ask for a role or an action for a while, and decide on such requests.",
        ),
        [*access_requests.routes],
    ),
    (
        Tag("Service accounts", "Programs that are members, and their tokens."),
        [*service_accounts.routes],
    ),
    (Tag("Checks", "Ask whether a user has a permission."), [*checks.routes]),
    (
        Tag(
            "Plans and changes",
            "See what a change would do, make several at once, and follow one into SpiceDB.",
        ),
        [*plans.routes, *changes.routes],
    ),
    (Tag("Audit", "Ask who can do what and why, at present or at a past time."), [*audit.routes]),
    (
        Tag("Caller and catalog", "The signed-in user, and the access model of the deployment."),
        [*me.routes],
    ),
    (
        Tag("Service", "Whether the process lives and can do its work."),
        [*landing.routes, *health.routes],
    ),
]

TAGS: Final = [tag for tag, _ in _TAGGED]
ALL: Final = [Router("/", route_handlers=routes, tags=[tag.name]) for tag, routes in _TAGGED]
