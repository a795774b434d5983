"""A valid request for every route of the application, and the permission it needs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from pydantic import SecretStr

from teamaccess.api import create_app
from teamaccess.common.configuration.settings import Settings
from teamaccess.delivery.progress import newest_progress
from tests.support.organization import Organization
from tests.support.people import Person
from tests.support.resources import add_resources
from tests.support.teams import Team

ANYBODY = "anybody"
SIGNED_IN = "signed in"
MEMBER = "member"
REQUESTER = "requester"
"""Only the requester, whatever permissions others have."""
FOUNDER = "founder"
"""Users who may create organizations according to the catalog."""


@dataclass(frozen=True)
class Route:
    """A method and a path, as the application registers them."""

    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class ValidRequest:
    """A valid request to a route. `needs` is a guard of the catalog or one of the words above."""

    needs: str
    success: int = 200
    body: Any = None
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    """The target: an active or a suspended member, an invitation, a role, a resource."""
    list: bool = False
    operators: bool = False
    """Whether an operator may send it too."""
    hidden: str = ""
    """The code of the 404 for members without the permission, if it is not `missing_permission`."""
    silent: bool = False
    """Whether it changes no relationship."""


ROLES = {"fintoc": "support", "finicom": "read"}
"""A role for invitations and role changes."""

WANTED = {"fintoc": "product", "finicom": "write"}
"""A role for access requests."""
ACTION = {"fintoc": "refunds_create", "finicom": "sources_create"}
"""An action for access requests."""

OBJECTS = {"fintoc": ("webhook", "edit"), "finicom": ("source", "manage")}
"""A type of resources, and an action on one."""
VIEWED = {"fintoc": "links", "finicom": "sources"}
"""A resource with something to view."""

PROPOSED = {"change": "set_roles", "user": "{active}", "roles": ["{role}"]}
"""A change that is first planned and then made."""
ORGANIZATION = "/v1/organizations/{organization}"
REQUESTS = f"{ORGANIZATION}/access-requests"
REQUEST = f"{REQUESTS}/{{access_request}}"
RESOURCE = f"{ORGANIZATION}/resources/{{type}}/{{resource}}"
ACCOUNTS = f"{ORGANIZATION}/service-accounts"
ACCOUNT = f"{ACCOUNTS}/{{account}}"
MANAGE_ACCOUNTS = "manage_service_accounts"
VALID_REQUESTS = {
    Route("GET", "/"): ValidRequest(ANYBODY),
    Route("GET", "/healthz"): ValidRequest(ANYBODY),
    Route("GET", "/readyz"): ValidRequest(ANYBODY),
    Route("GET", "/metrics"): ValidRequest(ANYBODY),
    Route("GET", "/invitations/accept"): ValidRequest(ANYBODY),
    Route("GET", "/v1/catalog"): ValidRequest(ANYBODY),
    Route("POST", "/v1/invitations/accept"): ValidRequest(
        ANYBODY, body={"token": "{token}", "name": "G"}
    ),
    Route("GET", "/v1/me"): ValidRequest(SIGNED_IN),
    Route("POST", "/v1/me/sign-out"): ValidRequest(SIGNED_IN, 204),
    Route("POST", "/v1/organizations"): ValidRequest(
        FOUNDER, 201, body={"id": "{new}", "name": "New"}, operators=True
    ),
    Route("GET", "/v1/organizations"): ValidRequest(SIGNED_IN, list=True, operators=True),
    Route("GET", ORGANIZATION): ValidRequest("view_organization"),
    Route("PATCH", ORGANIZATION): ValidRequest(
        "change_settings", body={"name": "Another name"}, silent=True
    ),
    Route("DELETE", ORGANIZATION): ValidRequest("delete_organization", 204),
    Route("GET", f"{ORGANIZATION}/permissions"): ValidRequest(MEMBER),
    Route("GET", f"{ORGANIZATION}/members"): ValidRequest("view_members", list=True),
    Route("GET", f"{ORGANIZATION}/members/{{user}}"): ValidRequest("view_members", target="active"),
    Route("PUT", f"{ORGANIZATION}/members/{{user}}/roles"): ValidRequest(
        "change_roles",
        body={"roles": [{"role": "{role}", "expires_at": None}], "reason": "a new job"},
        target="active",
        silent=True,
    ),
    Route("PATCH", f"{ORGANIZATION}/members/{{user}}"): ValidRequest(
        "change_roles", body={"expires_at": None, "reason": "as agreed"}, silent=True
    ),
    Route("POST", f"{ORGANIZATION}/members/{{user}}/suspend"): ValidRequest(
        "suspend", 204, body={"reason": "a lost laptop"}, target="active"
    ),
    Route("POST", f"{ORGANIZATION}/members/{{user}}/reactivate"): ValidRequest(
        "reactivate", 204, body={"reason": "it was found"}, target="suspended"
    ),
    Route("DELETE", f"{ORGANIZATION}/members/{{user}}"): ValidRequest(
        "remove", 204, body={"reason": "they have left"}, target="active"
    ),
    Route("POST", f"{ORGANIZATION}/leave"): ValidRequest(MEMBER, 204),
    Route("POST", f"{ORGANIZATION}/invitations"): ValidRequest(
        "invite",
        201,
        body={"email": "{email}", "roles": ["{role}"], "expires_in_hours": 24},
    ),
    Route("GET", f"{ORGANIZATION}/invitations"): ValidRequest("view_invitations", list=True),
    Route("DELETE", f"{ORGANIZATION}/invitations/{{invitation}}"): ValidRequest(
        "cancel_invitation", 204, target="invitation"
    ),
    Route("POST", f"{ORGANIZATION}/invitations/{{invitation}}/resend"): ValidRequest(
        "invite", target="invitation"
    ),
    Route("POST", REQUESTS): ValidRequest(
        MEMBER,
        201,
        body={"action": "{action}", "reason": "a case", "duration_hours": 8},
        silent=True,
    ),
    Route("GET", REQUESTS): ValidRequest(MEMBER, list=True),
    Route("GET", REQUEST): ValidRequest("change_roles", hidden="unknown_access_request"),
    Route("POST", f"{REQUEST}/approve"): ValidRequest(
        "change_roles", body={"role": "{wanted}", "reason": "fine", "duration_hours": 4}
    ),
    Route("POST", f"{REQUEST}/decline"): ValidRequest(
        "change_roles", body={"reason": "not now"}, silent=True
    ),
    Route("POST", f"{REQUEST}/withdraw"): ValidRequest(REQUESTER, hidden="unknown_access_request"),
    Route("POST", f"{ORGANIZATION}/teams"): ValidRequest(
        "manage_teams", 201, body={"id": "{new_team}", "name": "New team"}, silent=True
    ),
    Route("GET", f"{ORGANIZATION}/teams"): ValidRequest("view_members", list=True),
    Route("GET", f"{ORGANIZATION}/teams/{{team}}"): ValidRequest("view_members"),
    Route("PATCH", f"{ORGANIZATION}/teams/{{team}}"): ValidRequest(
        "manage_teams", body={"name": "Another name"}, silent=True
    ),
    Route("DELETE", f"{ORGANIZATION}/teams/{{team}}"): ValidRequest("manage_teams", 204),
    Route("PUT", f"{ORGANIZATION}/teams/{{team}}/roles"): ValidRequest(
        "manage_teams",
        body={"roles": [{"role": "{role}", "expires_at": None}], "reason": "as agreed"},
        silent=True,
    ),
    Route("GET", f"{ORGANIZATION}/teams/{{team}}/members"): ValidRequest("view_members", list=True),
    Route("PUT", f"{ORGANIZATION}/teams/{{team}}/members/{{user}}"): ValidRequest(
        "manage_teams", body={"expires_at": None}, target="suspended"
    ),
    Route("DELETE", f"{ORGANIZATION}/teams/{{team}}/members/{{user}}"): ValidRequest(
        "manage_teams", 204, target="active"
    ),
    Route("PUT", RESOURCE): ValidRequest("register_resources", target="unregistered"),
    Route("GET", RESOURCE): ValidRequest("view_members", target="registered"),
    Route("DELETE", RESOURCE): ValidRequest("register_resources", 204, target="registered"),
    Route("GET", f"{ORGANIZATION}/resources/{{type}}"): ValidRequest("view_members", list=True),
    Route("POST", f"{ORGANIZATION}/resources:batch"): ValidRequest(
        "register_resources",
        body={
            "items": [
                {"operation": "register", "type": "{type}", "id": "{unregistered}"},
                {"operation": "remove", "type": "{type}", "id": "{registered}"},
            ]
        },
    ),
    Route("POST", f"{ORGANIZATION}/grants:batch"): ValidRequest(
        "register_resources",
        body={
            "items": [
                {
                    "operation": "grant",
                    "type": "{type}",
                    "id": "{registered}",
                    "action": "{verb}",
                    "user": "{active}",
                }
            ]
        },
    ),
    Route("POST", f"{ORGANIZATION}/team-members:batch"): ValidRequest(
        "manage_teams",
        body={"items": [{"operation": "put", "team": "{team}", "user": "{suspended}"}]},
    ),
    Route("GET", f"{RESOURCE}/grants"): ValidRequest("view_members", target="registered"),
    Route("PUT", f"{RESOURCE}/grants"): ValidRequest(
        "register_resources",
        body={"grants": [{"action": "{verb}", "user": "{active}", "expires_at": None}]},
        target="registered",
    ),
    Route("POST", "/v1/check"): ValidRequest(
        "view_audit",
        body={
            "checks": [
                {
                    "organization": "{organization}",
                    "user": "{active}",
                    "action": "{verb}",
                    "resource": "{type}:{registered}",
                }
            ]
        },
        operators=True,
    ),
    Route("GET", f"{ORGANIZATION}/roles"): ValidRequest("view_members", list=True),
    Route("POST", f"{ORGANIZATION}/roles"): ValidRequest(
        "manage_roles",
        201,
        body={
            "id": "purser",
            "name": "Purser",
            "description": "Counts.",
            "actions": ["{action}", {"resource": "{viewed}", "level": "view"}],
        },
    ),
    Route("GET", f"{ORGANIZATION}/roles/{{role}}"): ValidRequest("view_members", target="own_role"),
    Route("PUT", f"{ORGANIZATION}/roles/{{role}}"): ValidRequest(
        "manage_roles",
        body={"name": "Purser", "actions": ["{action}"]},
        target="own_role",
        silent=True,
    ),
    Route("DELETE", f"{ORGANIZATION}/roles/{{role}}"): ValidRequest(
        "manage_roles", 204, target="own_role"
    ),
    Route("GET", f"{ORGANIZATION}/changes/{{position}}"): ValidRequest(MEMBER),
    Route("GET", f"{ORGANIZATION}/audit/who-can"): ValidRequest(
        "view_audit", query={"action": "{action}"}, operators=True
    ),
    Route("GET", f"{ORGANIZATION}/audit/what-can"): ValidRequest(
        "view_audit", query={"user": "{active}"}, operators=True
    ),
    Route("GET", f"{ORGANIZATION}/audit/why"): ValidRequest(
        "view_audit", query={"user": "{active}", "action": "{action}"}, operators=True
    ),
    Route("GET", f"{ORGANIZATION}/audit/matrix"): ValidRequest("view_audit", operators=True),
    Route("POST", f"{ORGANIZATION}/audit/plan"): ValidRequest(
        "view_audit", body={"changes": [PROPOSED]}, operators=True
    ),
    Route("POST", f"{ORGANIZATION}/changes"): ValidRequest(
        "change_roles",
        body={"changes": [PROPOSED], "reason": "a new job"},
        headers={"If-Match": '"{state}"'},
        silent=True,
    ),
    Route("GET", ACCOUNTS): ValidRequest(MANAGE_ACCOUNTS, list=True),
    Route("POST", ACCOUNTS): ValidRequest(
        MANAGE_ACCOUNTS, 201, body={"name": "Nightly job", "roles": ["{role}"]}
    ),
    Route("GET", ACCOUNT): ValidRequest(MANAGE_ACCOUNTS),
    Route("DELETE", ACCOUNT): ValidRequest(MANAGE_ACCOUNTS, 204),
    Route("GET", f"{ACCOUNT}/tokens"): ValidRequest(MANAGE_ACCOUNTS, list=True),
    Route("POST", f"{ACCOUNT}/tokens"): ValidRequest(
        MANAGE_ACCOUNTS, 201, body={"name": "on the server", "expires_in_days": 30}, silent=True
    ),
    Route("DELETE", f"{ACCOUNT}/tokens/{{api_token}}"): ValidRequest(
        MANAGE_ACCOUNTS, 204, silent=True
    ),
    Route("POST", f"{ACCOUNT}/tokens/{{api_token}}/rotate"): ValidRequest(
        MANAGE_ACCOUNTS, 201, body={"overlap_hours": 1, "expires_in_days": 30}, silent=True
    ),
}


def described_application() -> Litestar:
    """The application without a database or SpiceDB."""
    return create_app(
        Settings(
            database_url="postgresql://nowhere/none",
            spicedb_endpoint="127.0.0.1:1",
            spicedb_preshared_key=SecretStr("none"),
            secret_key=SecretStr("a secret of nobody"),
        )
    )


def routes() -> Iterator[Route]:
    """Every route of the application except those of the OpenAPI document."""
    for route in described_application().routes:
        for handler in getattr(route, "route_handlers", ()):
            if isinstance(handler, HTTPRouteHandler) and not route.path.startswith("/schema"):
                for method in handler.http_methods - {"OPTIONS"}:
                    path = route.path_format.replace(":str", "").replace(":int", "")
                    yield Route(str(method), path)


@dataclass
class RequestTargets:
    """Everything that the requests name: an organization, members, an invitation, and so on."""

    organization: Organization
    names: dict[str, str]

    @classmethod
    async def create(cls, organization: Organization) -> "RequestTargets":
        """Create a member in a team, a suspended one, and one of everything else."""
        catalog = organization.deployment.service.catalog.name
        role, (type, verb) = ROLES[catalog], OBJECTS[catalog]
        await add_resources(organization, f"{type}:registered")
        people = await organization.add_members(
            {"active": [role], "suspended": [role]}, ["suspended"]
        )
        team_of_theirs = await Team.create(organization, "pay", role)
        (await team_of_theirs.add_member(people["active"])).raise_for_status()
        invited = await organization.invite("guest", [role])
        wish = {"role": WANTED[catalog], "reason": "a case", "duration_hours": 8}
        asked = await people["active"].ask(
            "POST", f"{organization.path}/access-requests", json=wish
        )
        account = await organization.create_service_account(role)
        token = await account.create_token()
        own = {"id": "treasurer", "name": "Treasurer", "actions": [ACTION[catalog]]}
        await organization.administrator.ask("POST", f"{organization.path}/roles", json=own)
        return cls(
            organization,
            {
                "organization": organization.id,
                "active": people["active"].id,
                "suspended": people["suspended"].id,
                "invitation": invited.json()["id"],
                "token": organization.deployment.invitation_token(organization.address("guest")),
                "account": account.id,
                "api_token": token["id"],
                "role": role,
                "access_request": asked.json()["id"],
                "wanted": WANTED[catalog],
                "action": ACTION[catalog],
                "team": team_of_theirs.id,
                "new_team": "new",
                "own_role": "treasurer",
                "viewed": VIEWED[catalog],
                "position": "1",
                "type": type,
                "verb": verb,
                "registered": "registered",
                "unregistered": "unregistered",
                "resource": "registered",
                "new": f"{organization.id}-new",
                "email": organization.address("new"),
            },
        )

    def url(self, route: Route, **instead: str) -> str:
        """The route's address for these targets, with the names in `instead` replaced."""
        target = (
            VALID_REQUESTS[route].target if VALID_REQUESTS[route].target in self.names else "active"
        )
        meant = {
            "user": self.names[target],
            "role": self.names["own_role"],
            "resource": self.names[target],
        }
        query = _filled(dict(VALID_REQUESTS[route].query), self.names)
        return route.path.format(**{**self.names, **meant, **instead}) + (
            f"?{urlencode(query)}" if query else ""
        )

    def body(self, route: Route) -> Any:
        """The route's body for these targets."""
        return _filled(VALID_REQUESTS[route].body, self.names)

    async def state(self) -> str:
        """The state that a plan made now would name."""
        service = self.organization.deployment.service
        async with service.reads() as session:
            [place] = await newest_progress(session, [self.organization.id])
        return f"{place.position}-{place.hash.hex()}@{service.catalog.version}"

    async def ask(self, route: Route, by: Person | None, **more: Any) -> httpx.Response:
        """Send the valid request as a caller, or anonymously."""
        sent: dict[str, Any] = {"json": self.body(route)} if VALID_REQUESTS[route].body else {}
        filled = _filled(
            dict(VALID_REQUESTS[route].headers), {**self.names, "state": await self.state()}
        )
        sent["headers"] = {**filled, **more.pop("headers", {})}
        url = more.pop("url", self.url(route))
        if by is None:
            return await self.organization.deployment.http.request(
                route.method, url, **{**sent, **more}
            )
        return await by.ask(route.method, url, **{**sent, **more})


def _filled(body: Any, names: dict[str, str]) -> Any:
    match body:
        case str():
            return body.format(**names)
        case list():
            return [_filled(each, names) for each in body]
        case dict():
            return {name: _filled(each, names) for name, each in body.items()}
        case _:
            return body
