"""A good request for every route of the application, and what it takes to be allowed to send it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
from litestar.handlers import HTTPRouteHandler
from pydantic import SecretStr

from teamaccess.api import create_app
from teamaccess.settings import Settings
from tests.steps import enlist
from tests.world import Person, Team

ANYBODY = "anybody"
SIGNED_IN = "signed in"
MEMBER = "member"
FOUNDER = "founder"
"""Whoever the catalog lets create organizations."""


@dataclass(frozen=True)
class Route:
    """A route as the application has it."""

    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Ask:
    """How a route is asked properly: a guard of the catalog or one of the words above, and a body."""

    needs: str
    success: int = 200
    body: Any = None
    target: str = ""
    """Who is acted on: an active or a suspended member, or an invitation."""
    list: bool = False
    operators: bool = False
    """Whether an operator may, too."""


ROLES = {"fintoc": "support", "finicom": "read"}
"""A role that is invited with and changed to."""

ONE = "/v1/organizations/{organization}"
ASKS = {
    Route("GET", "/"): Ask(ANYBODY),
    Route("GET", "/healthz"): Ask(ANYBODY),
    Route("GET", "/readyz"): Ask(ANYBODY),
    Route("GET", "/metrics"): Ask(ANYBODY),
    Route("GET", "/invitations/accept"): Ask(ANYBODY),
    Route("GET", "/v1/catalog"): Ask(ANYBODY),
    Route("POST", "/v1/invitations/accept"): Ask(ANYBODY, body={"token": "{token}", "name": "G"}),
    Route("GET", "/v1/me"): Ask(SIGNED_IN),
    Route("POST", "/v1/me/sign-out"): Ask(SIGNED_IN, 204),
    Route("POST", "/v1/organizations"): Ask(
        FOUNDER, 201, body={"id": "{new}", "name": "New"}, operators=True
    ),
    Route("GET", "/v1/organizations"): Ask(SIGNED_IN, list=True, operators=True),
    Route("GET", ONE): Ask("view_organization"),
    Route("PATCH", ONE): Ask("change_settings", body={"name": "Another name"}),
    Route("DELETE", ONE): Ask("delete_organization", 204),
    Route("GET", f"{ONE}/permissions"): Ask(MEMBER),
    Route("GET", f"{ONE}/members"): Ask("view_members", list=True),
    Route("GET", f"{ONE}/members/{{user}}"): Ask("view_members", target="active"),
    Route("PUT", f"{ONE}/members/{{user}}/roles"): Ask(
        "change_roles",
        body={"roles": [{"role": "{role}", "expires_at": None}], "reason": "a new job"},
        target="active",
    ),
    Route("POST", f"{ONE}/members/{{user}}/suspend"): Ask("suspend", 204, target="active"),
    Route("POST", f"{ONE}/members/{{user}}/reactivate"): Ask("reactivate", 204, target="suspended"),
    Route("DELETE", f"{ONE}/members/{{user}}"): Ask("remove", 204, target="active"),
    Route("POST", f"{ONE}/leave"): Ask(MEMBER, 204),
    Route("POST", f"{ONE}/invitations"): Ask(
        "invite",
        201,
        body={"email": "{email}", "roles": ["{role}"], "expires_in_hours": 24},
    ),
    Route("GET", f"{ONE}/invitations"): Ask("view_invitations", list=True),
    Route("DELETE", f"{ONE}/invitations/{{invitation}}"): Ask(
        "cancel_invitation", 204, target="invitation"
    ),
    Route("POST", f"{ONE}/invitations/{{invitation}}/resend"): Ask("invite", target="invitation"),
    Route("GET", f"{ONE}/changes/{{position}}"): Ask(MEMBER),
}


def routes() -> Iterator[Route]:
    """Every route of the application but the documentation's own."""
    app = create_app(
        Settings(
            database_url="postgresql://nowhere/none",
            spicedb_endpoint="nowhere:1",
            spicedb_preshared_key=SecretStr("none"),
            secret_key=SecretStr("a secret of nobody"),
        )
    )
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            if isinstance(handler, HTTPRouteHandler) and not route.path.startswith("/schema"):
                for method in handler.http_methods - {"OPTIONS"}:
                    path = route.path_format.replace(":str", "").replace(":int", "")
                    yield Route(str(method), path)


@dataclass
class Stage:
    """Everything that the requests name: an organization, somebody to act on, an invitation."""

    team: Team
    names: dict[str, str]

    @classmethod
    async def set(cls, team: Team) -> "Stage":
        """Make a member to act on, a suspended one, and an invitation."""
        role = ROLES[team.world.service.catalog.name]
        people = await enlist(team, {"active": [role], "suspended": [role]}, ["suspended"])
        invited = await team.invite("guest", [role])
        return cls(
            team,
            {
                "organization": team.id,
                "active": people["active"].id,
                "suspended": people["suspended"].id,
                "invitation": invited.json()["id"],
                "token": team.world.secret_for(team.address("guest")),
                "role": role,
                "position": "1",
                "new": f"{team.id}-new",
                "email": team.address("new"),
            },
        )

    def url(self, route: Route, **instead: str) -> str:
        """The route's address on this stage, perhaps with other names in it."""
        target = ASKS[route].target if ASKS[route].target in self.names else "active"
        return route.path.format(**{**self.names, "user": self.names[target], **instead})

    def body(self, route: Route) -> Any:
        """The route's body on this stage."""
        return _filled(ASKS[route].body, self.names)

    async def ask(self, route: Route, by: Person | None, **more: Any) -> httpx.Response:
        """Send the good request, as somebody or as nobody."""
        sent: dict[str, Any] = {"json": self.body(route)} if ASKS[route].body else {}
        url = self.url(route)
        if by is None:
            return await self.team.world.http.request(route.method, url, **{**sent, **more})
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
