"""For each route, how its query and body are chosen. A route that needs neither has an empty entry.

A builder may note in `draw.about` what the lessons need when the request was done.
"""

from collections.abc import Callable
from typing import Any

from tests.attacks.coalition.draw import Draw

ONE = "/v1/organizations/{organization}"
REQUEST = f"{ONE}/access-requests/{{access_request}}"
ACCOUNT = f"{ONE}/service-accounts/{{account}}"
RESOURCE = f"{ONE}/resources/{{type}}/{{resource}}"
Builder = Callable[[Draw], dict[str, Any] | None]
"""Returns the body; what a query needs goes to `draw.about["query"]`."""


def nothing(draw: Draw) -> None:
    """A request that is all said by its address."""


def query(**builders: Callable[[Draw], str]) -> Builder:
    """A request with these parameters, each of them now and then."""

    def build(draw: Draw) -> None:
        draw.about["query"] = {
            name: make(draw) for name, make in builders.items() if draw.chance.often(0.8)
        }

    return build


def accept(draw: Draw) -> dict[str, Any] | None:
    letters = draw.town.letters
    if not letters:
        return {"token": "none", "name": "Nobody"}
    letter = draw.chance.pick(letters[-5:] if draw.chance.often(0.7) else letters)
    draw.about["letter"] = letter
    return {"token": letter.secret, "name": "Guest"}


def invite(draw: Draw) -> dict[str, Any]:
    known = draw.chance.pick([each for each in draw.town.principals if each.email])
    new = f"g{draw.about['step']}@{draw.town.shop}.example"
    address = known.email if draw.chance.often(0.3) else new
    roles: list[Any] = [each["role"] for each in draw.roles()]
    return {"email": address, "roles": roles, "expires_in_hours": draw.chance.number(1, 700)}


def found(draw: Draw) -> dict[str, Any]:
    own = f"{draw.town.victim[:40]}-{draw.about['step']}"
    id = own if draw.chance.often(0.7) else draw.chance.at(draw.town.organizations)
    return {"id": id, "name": "Own"}


def ask(draw: Draw) -> dict[str, Any]:
    wanted = {"role": draw.role()} if draw.chance.often(0.7) else {"action": draw.action()}
    return {**wanted, "reason": "I want it", "duration_hours": draw.chance.number(1, 50)}


def approve(draw: Draw) -> dict[str, Any]:
    role = {"role": draw.role()} if draw.chance.often(0.3) else {}
    hours = {"duration_hours": draw.chance.number(1, 60)} if draw.chance.often(0.3) else {}
    return {**role, **hours, **draw.reason()}


def new_role(draw: Draw) -> dict[str, Any]:
    id = draw.name("role", new=True)
    if draw.chance.often(0.25):
        return {"id": id, "name": id, "clone_of": draw.role()}
    return {"id": id, "name": id, "actions": draw.actions()}


def register(draw: Draw) -> dict[str, Any] | None:
    draw.about["new_resource"] = draw.chance.often(0.6)
    return {"creator": draw.user()} if draw.chance.often(0.5) else None


def orders(draw: Draw) -> dict[str, Any]:
    items: list[dict[str, Any]] = []
    for number in range(draw.chance.number(1, 3)):
        remove = draw.chance.often(0.3)
        id = draw.name("resource") if remove else f"thing_{draw.about['step']}_{number}"
        item = {"operation": "remove" if remove else "register", "type": draw.type(), "id": id}
        if not remove and item["type"] == "transfer":
            item["creator"] = draw.user()
        items.append(item)
    return {"items": items}


def grants(draw: Draw) -> dict[str, Any]:
    def one() -> dict[str, Any]:
        team = draw.chance.often(0.4)
        holder = {"team": draw.name("team")} if team else {"user": draw.user()}
        return {"action": draw.verb(), **holder, **draw.end()}

    return {"grants": [one() for _ in range(draw.chance.number(0, 2))]}


def checks(draw: Draw) -> dict[str, Any]:
    user = {"user": draw.user()} if draw.chance.often(0.6) else {}
    return {"checks": [{"organization": draw.organization, "action": draw.action(), **user}]}


def proposal(draw: Draw) -> dict[str, Any]:
    """One change of a plan."""
    match draw.chance.number(0, 8):
        case 0:
            return {"change": "set_roles", "user": draw.user(), "roles": draw.roles()}
        case 1 | 2 | 3:
            change = draw.chance.pick(["suspend", "reactivate", "remove"])
            return {"change": change, "user": draw.user()}
        case 4:
            return {
                "change": "set_role",
                "role": draw.name("role", True),
                "actions": draw.actions(),
            }
        case 5:
            return {"change": "delete_role", "role": draw.name("role"), "reassign": draw.role()}
        case 6:
            return {"change": "set_team_roles", "team": draw.name("team"), "roles": draw.roles()}
        case 7:
            place = {"team": draw.name("team"), "user": draw.user()}
            return {"change": "put_in_team", **place, **draw.end()}
        case _:
            return {"change": "take_from_team", "team": draw.name("team"), "user": draw.user()}


def plan(draw: Draw) -> dict[str, Any]:
    changes = [proposal(draw) for _ in range(draw.chance.number(1, 3))]
    draw.about["changes"] = changes
    return {"changes": changes}


def changes(draw: Draw) -> dict[str, Any]:
    """What was planned, with the plan's ETag; or something else, or without having looked."""
    planned = [each for each in draw.town.plans if each[0] == draw.organization]
    if planned and draw.chance.often(0.6):
        _, wanted, etag = planned[-1]
        draw.about["if_match"] = etag
        if draw.chance.often(0.8):
            return {"changes": wanted, **draw.reason()}
    else:
        draw.about["if_match"] = "*"
    return {"changes": [proposal(draw) for _ in range(draw.chance.number(1, 3))]}


def account_body(draw: Draw) -> dict[str, Any]:
    return {"name": f"machine {draw.about['step']}", "roles": draw.roles()}


def rotation(draw: Draw) -> dict[str, Any]:
    return {"overlap_hours": draw.chance.number(0, 1), "expires_in_days": draw.chance.number(1, 90)}


def new_team(draw: Draw) -> dict[str, Any]:
    return {"id": draw.name("team", new=True), "name": "A team"}


BODIES: dict[str, tuple[int, Builder]] = {
    "GET /": (1, nothing),
    "GET /healthz": (1, nothing),
    "GET /readyz": (1, nothing),
    "GET /metrics": (1, nothing),
    "GET /invitations/accept": (1, nothing),
    "GET /v1/catalog": (1, nothing),
    "POST /v1/invitations/accept": (9, accept),
    "GET /v1/me": (1, nothing),
    "POST /v1/me/sign-out": (1, nothing),
    "POST /v1/organizations": (2, found),
    "GET /v1/organizations": (1, query(all=lambda _: "true")),
    f"GET {ONE}": (1, nothing),
    f"PATCH {ONE}": (1, lambda _: {"name": "Another name"}),
    f"DELETE {ONE}": (1, nothing),
    f"GET {ONE}/permissions": (1, nothing),
    f"GET {ONE}/members": (1, query(role=Draw.role, team=lambda draw: draw.name("team"))),
    f"GET {ONE}/members/{{user}}": (2, nothing),
    f"PUT {ONE}/members/{{user}}/roles": (14, lambda d: {"roles": d.roles(3), **d.reason()}),
    f"PATCH {ONE}/members/{{user}}": (6, lambda draw: {**draw.until(), **draw.reason()}),
    f"POST {ONE}/members/{{user}}/suspend": (4, lambda draw: draw.reason() or None),
    f"POST {ONE}/members/{{user}}/reactivate": (6, lambda draw: draw.reason() or None),
    f"DELETE {ONE}/members/{{user}}": (3, lambda draw: draw.reason() or None),
    f"POST {ONE}/leave": (1, nothing),
    f"POST {ONE}/invitations": (9, invite),
    f"GET {ONE}/invitations": (1, nothing),
    f"DELETE {ONE}/invitations/{{invitation}}": (2, nothing),
    f"POST {ONE}/invitations/{{invitation}}/resend": (5, nothing),
    f"POST {ONE}/access-requests": (7, ask),
    f"GET {ONE}/access-requests": (1, query(mine=lambda _: "true")),
    f"GET {REQUEST}": (2, nothing),
    f"POST {REQUEST}/approve": (9, approve),
    f"POST {REQUEST}/decline": (2, lambda draw: draw.reason()),
    f"POST {REQUEST}/withdraw": (2, nothing),
    f"POST {ONE}/teams": (5, new_team),
    f"GET {ONE}/teams": (1, nothing),
    f"GET {ONE}/teams/{{team}}": (2, nothing),
    f"PATCH {ONE}/teams/{{team}}": (1, lambda _: {"name": "Another name"}),
    f"DELETE {ONE}/teams/{{team}}": (3, nothing),
    f"PUT {ONE}/teams/{{team}}/roles": (10, lambda draw: {"roles": draw.roles(), **draw.reason()}),
    f"GET {ONE}/teams/{{team}}/members": (1, nothing),
    f"PUT {ONE}/teams/{{team}}/members/{{user}}": (12, lambda draw: draw.end() or None),
    f"DELETE {ONE}/teams/{{team}}/members/{{user}}": (5, nothing),
    f"PUT {RESOURCE}": (7, register),
    f"GET {RESOURCE}": (1, nothing),
    f"DELETE {RESOURCE}": (2, nothing),
    f"GET {ONE}/resources/{{type}}": (1, nothing),
    f"POST {ONE}/resources:batch": (4, orders),
    f"GET {RESOURCE}/grants": (2, nothing),
    f"PUT {RESOURCE}/grants": (14, grants),
    "POST /v1/check": (2, checks),
    f"GET {ONE}/roles": (1, nothing),
    f"POST {ONE}/roles": (8, new_role),
    f"GET {ONE}/roles/{{role}}": (2, nothing),
    f"PUT {ONE}/roles/{{role}}": (8, lambda draw: {"name": "A role", "actions": draw.actions()}),
    f"DELETE {ONE}/roles/{{role}}": (5, query(reassign=Draw.role)),
    f"GET {ONE}/changes/{{position}}": (1, nothing),
    f"GET {ONE}/audit/who-can": (1, query(action=Draw.action)),
    f"GET {ONE}/audit/what-can": (1, query(user=Draw.user)),
    f"GET {ONE}/audit/why": (1, query(user=Draw.user, action=Draw.action)),
    f"GET {ONE}/audit/matrix": (1, nothing),
    f"POST {ONE}/audit/plan": (3, plan),
    f"POST {ONE}/changes": (8, changes),
    f"GET {ONE}/service-accounts": (1, nothing),
    f"POST {ONE}/service-accounts": (5, account_body),
    f"GET {ACCOUNT}": (1, nothing),
    f"DELETE {ACCOUNT}": (2, nothing),
    f"GET {ACCOUNT}/tokens": (1, nothing),
    f"POST {ACCOUNT}/tokens": (7, lambda _: {"name": "a token", "expires_in_days": 30}),
    f"DELETE {ACCOUNT}/tokens/{{api_token}}": (2, nothing),
    f"POST {ACCOUNT}/tokens/{{api_token}}/rotate": (5, rotation),
}
"""By route: how often it is asked in comparison, and how its request is made."""
