"""For each route, how its query and body are chosen. A route that needs neither has an empty entry.

A builder may note in `choices.about` what is needed to record the answer.
"""

from collections.abc import Callable
from typing import Any

from tests.attacks.coalition.request_choices import RequestChoices

ORGANIZATION = "/v1/organizations/{organization}"
REQUEST = f"{ORGANIZATION}/access-requests/{{access_request}}"
ACCOUNT = f"{ORGANIZATION}/service-accounts/{{account}}"
RESOURCE = f"{ORGANIZATION}/resources/{{type}}/{{resource}}"
Builder = Callable[[RequestChoices], dict[str, Any] | None]
"""Returns the body. Query parameters go to `choices.about["query"]`."""


def nothing(choices: RequestChoices) -> None:
    """A request without query and body."""


def query(**builders: Callable[[RequestChoices], str]) -> Builder:
    """A request with these parameters, each of them now and then."""

    def build(choices: RequestChoices) -> None:
        choices.about["query"] = {
            name: make(choices) for name, make in builders.items() if choices.seeded.chance(0.8)
        }

    return build


def accept(choices: RequestChoices) -> dict[str, Any] | None:
    mails = choices.scenario.mails
    if not mails:
        return {"token": "none", "name": "Nobody"}
    mail = choices.seeded.pick(mails[-5:] if choices.seeded.chance(0.7) else mails)
    choices.about["letter"] = mail
    return {"token": mail.secret, "name": "Guest"}


def invite(choices: RequestChoices) -> dict[str, Any]:
    known = choices.seeded.pick([each for each in choices.scenario.principals if each.email])
    new = f"g{choices.about['step']}@{choices.scenario.workplace}.example"
    address = known.email if choices.seeded.chance(0.3) else new
    roles: list[Any] = [each["role"] for each in choices.roles()]
    return {"email": address, "roles": roles, "expires_in_hours": choices.seeded.number(1, 700)}


def create_organization(choices: RequestChoices) -> dict[str, Any]:
    own = f"{choices.scenario.victim[:40]}-{choices.about['step']}"
    id = own if choices.seeded.chance(0.7) else choices.seeded.at(choices.scenario.organizations)
    return {"id": id, "name": "Own"}


def ask(choices: RequestChoices) -> dict[str, Any]:
    wanted = (
        {"role": choices.role()} if choices.seeded.chance(0.7) else {"action": choices.action()}
    )
    return {**wanted, "reason": "I want it", "duration_hours": choices.seeded.number(1, 50)}


def approve(choices: RequestChoices) -> dict[str, Any]:
    role = {"role": choices.role()} if choices.seeded.chance(0.3) else {}
    hours = {"duration_hours": choices.seeded.number(1, 60)} if choices.seeded.chance(0.3) else {}
    return {**role, **hours, **choices.reason()}


def new_role(choices: RequestChoices) -> dict[str, Any]:
    id = choices.name("role", new=True)
    if choices.seeded.chance(0.25):
        return {"id": id, "name": id, "clone_of": choices.role()}
    return {"id": id, "name": id, "actions": choices.actions()}


def register(choices: RequestChoices) -> dict[str, Any] | None:
    choices.about["new_resource"] = choices.seeded.chance(0.6)
    return {"creator": choices.user()} if choices.seeded.chance(0.5) else None


def resource_operations(choices: RequestChoices) -> dict[str, Any]:
    items: list[dict[str, Any]] = []
    for number in range(choices.seeded.number(1, 3)):
        remove = choices.seeded.chance(0.3)
        id = choices.name("resource") if remove else f"thing_{choices.about['step']}_{number}"
        item = {"operation": "remove" if remove else "register", "type": choices.type(), "id": id}
        if not remove and item["type"] == "transfer":
            item["creator"] = choices.user()
        items.append(item)
    return {"items": items}


def grants(choices: RequestChoices) -> dict[str, Any]:
    def one() -> dict[str, Any]:
        team = choices.seeded.chance(0.4)
        holder = {"team": choices.name("team")} if team else {"user": choices.user()}
        return {**choices.right(), **holder, **choices.end()}

    return {"grants": [one() for _ in range(choices.seeded.number(0, 2))]}


def checks(choices: RequestChoices) -> dict[str, Any]:
    user = {"user": choices.user()} if choices.seeded.chance(0.6) else {}
    return {"checks": [{"organization": choices.organization, "action": choices.action(), **user}]}


def proposal(choices: RequestChoices) -> dict[str, Any]:
    """One change of a plan."""
    match choices.seeded.number(0, 8):
        case 0:
            return {"change": "set_roles", "user": choices.user(), "roles": choices.roles()}
        case 1 | 2 | 3:
            change = choices.seeded.pick(["suspend", "reactivate", "remove"])
            return {"change": change, "user": choices.user()}
        case 4:
            return {
                "change": "set_role",
                "role": choices.name("role", True),
                "actions": choices.actions(),
            }
        case 5:
            return {
                "change": "delete_role",
                "role": choices.name("role"),
                "reassign": choices.role(),
            }
        case 6:
            return {
                "change": "set_team_roles",
                "team": choices.name("team"),
                "roles": choices.roles(),
            }
        case 7:
            place = {"team": choices.name("team"), "user": choices.user()}
            return {"change": "put_in_team", **place, **choices.end()}
        case _:
            return {
                "change": "take_from_team",
                "team": choices.name("team"),
                "user": choices.user(),
            }


def plan(choices: RequestChoices) -> dict[str, Any]:
    changes = [proposal(choices) for _ in range(choices.seeded.number(1, 3))]
    choices.about["changes"] = changes
    return {"changes": changes}


def changes(choices: RequestChoices) -> dict[str, Any]:
    """The planned changes with the plan's ETag, or other changes, or changes without a plan."""
    planned = [each for each in choices.scenario.plans if each[0] == choices.organization]
    if planned and choices.seeded.chance(0.6):
        _, wanted, etag = planned[-1]
        choices.about["if_match"] = etag
        if choices.seeded.chance(0.8):
            return {"changes": wanted, **choices.reason()}
    else:
        choices.about["if_match"] = "*"
    return {"changes": [proposal(choices) for _ in range(choices.seeded.number(1, 3))]}


def many_grants(choices: RequestChoices) -> dict[str, Any]:
    return {
        "items": [
            {
                "operation": choices.seeded.pick(["grant", "grant", "remove"]),
                "type": choices.type(),
                "id": choices.name("resource"),
                "action": choices.verb(),
                "user": choices.user(),
            }
            for _ in range(choices.seeded.number(1, 3))
        ]
    }


def many_places(choices: RequestChoices) -> dict[str, Any]:
    return {
        "items": [
            {
                "operation": choices.seeded.pick(["put", "put", "remove"]),
                "team": choices.name("team"),
                "user": choices.user(),
            }
            for _ in range(choices.seeded.number(1, 3))
        ]
    }


def account_body(choices: RequestChoices) -> dict[str, Any]:
    return {"name": f"machine {choices.about['step']}", "roles": choices.roles()}


def rotation(choices: RequestChoices) -> dict[str, Any]:
    return {
        "overlap_hours": choices.seeded.number(0, 1),
        "expires_in_days": choices.seeded.number(1, 90),
    }


def new_team(choices: RequestChoices) -> dict[str, Any]:
    return {"id": choices.name("team", new=True), "name": f"A team {choices.about['step']}"}


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
    "POST /v1/organizations": (2, create_organization),
    "GET /v1/organizations": (1, query(all=lambda _: "true")),
    f"GET {ORGANIZATION}": (1, nothing),
    f"PATCH {ORGANIZATION}": (1, lambda _: {"name": "Another name"}),
    f"DELETE {ORGANIZATION}": (1, nothing),
    f"GET {ORGANIZATION}/permissions": (1, nothing),
    f"GET {ORGANIZATION}/members": (
        1,
        query(role=RequestChoices.role, team=lambda choices: choices.name("team")),
    ),
    f"GET {ORGANIZATION}/members/{{user}}": (2, nothing),
    f"PUT {ORGANIZATION}/members/{{user}}/roles": (
        14,
        lambda d: {"roles": d.roles(3), **d.reason()},
    ),
    f"PATCH {ORGANIZATION}/members/{{user}}": (
        6,
        lambda choices: {**choices.until(), **choices.reason()},
    ),
    f"POST {ORGANIZATION}/members/{{user}}/suspend": (4, lambda choices: choices.reason() or None),
    f"POST {ORGANIZATION}/members/{{user}}/reactivate": (
        6,
        lambda choices: choices.reason() or None,
    ),
    f"DELETE {ORGANIZATION}/members/{{user}}": (3, lambda choices: choices.reason() or None),
    f"POST {ORGANIZATION}/leave": (1, nothing),
    f"POST {ORGANIZATION}/invitations": (9, invite),
    f"GET {ORGANIZATION}/invitations": (1, nothing),
    f"DELETE {ORGANIZATION}/invitations/{{invitation}}": (2, nothing),
    f"POST {ORGANIZATION}/invitations/{{invitation}}/resend": (5, nothing),
    f"POST {ORGANIZATION}/access-requests": (7, ask),
    f"GET {ORGANIZATION}/access-requests": (1, query(mine=lambda _: "true")),
    f"GET {REQUEST}": (2, nothing),
    f"POST {REQUEST}/approve": (9, approve),
    f"POST {REQUEST}/decline": (2, lambda choices: choices.reason()),
    f"POST {REQUEST}/withdraw": (2, nothing),
    f"POST {ORGANIZATION}/teams": (5, new_team),
    f"GET {ORGANIZATION}/teams": (1, nothing),
    f"GET {ORGANIZATION}/teams/{{team}}": (2, nothing),
    f"PATCH {ORGANIZATION}/teams/{{team}}": (
        1,
        lambda choices: {"name": f"Another name {choices.about['step']}"},
    ),
    f"DELETE {ORGANIZATION}/teams/{{team}}": (3, nothing),
    f"PUT {ORGANIZATION}/teams/{{team}}/roles": (
        10,
        lambda choices: {"roles": choices.roles(), **choices.reason()},
    ),
    f"GET {ORGANIZATION}/teams/{{team}}/members": (1, nothing),
    f"PUT {ORGANIZATION}/teams/{{team}}/members/{{user}}": (
        12,
        lambda choices: choices.end() or None,
    ),
    f"DELETE {ORGANIZATION}/teams/{{team}}/members/{{user}}": (5, nothing),
    f"PUT {RESOURCE}": (7, register),
    f"GET {RESOURCE}": (1, nothing),
    f"DELETE {RESOURCE}": (2, nothing),
    f"GET {ORGANIZATION}/resources/{{type}}": (1, nothing),
    f"POST {ORGANIZATION}/resources:batch": (4, resource_operations),
    f"POST {ORGANIZATION}/grants:batch": (6, many_grants),
    f"POST {ORGANIZATION}/team-members:batch": (6, many_places),
    f"GET {RESOURCE}/grants": (2, nothing),
    f"PUT {RESOURCE}/grants": (14, grants),
    "POST /v1/check": (2, checks),
    f"GET {ORGANIZATION}/roles": (1, nothing),
    f"POST {ORGANIZATION}/roles": (8, new_role),
    f"GET {ORGANIZATION}/roles/{{role}}": (2, nothing),
    f"PUT {ORGANIZATION}/roles/{{role}}": (
        8,
        lambda choices: {
            "name": f"A role {choices.about['step']}",
            "actions": choices.actions(),
        },
    ),
    f"DELETE {ORGANIZATION}/roles/{{role}}": (5, query(reassign=RequestChoices.role)),
    f"GET {ORGANIZATION}/changes/{{position}}": (1, nothing),
    f"GET {ORGANIZATION}/audit/who-can": (1, query(action=RequestChoices.action)),
    f"GET {ORGANIZATION}/audit/what-can": (1, query(user=RequestChoices.user)),
    f"GET {ORGANIZATION}/audit/why": (
        1,
        query(user=RequestChoices.user, action=RequestChoices.action),
    ),
    f"GET {ORGANIZATION}/audit/matrix": (1, nothing),
    f"POST {ORGANIZATION}/audit/plan": (3, plan),
    f"POST {ORGANIZATION}/changes": (8, changes),
    f"GET {ORGANIZATION}/service-accounts": (1, nothing),
    f"POST {ORGANIZATION}/service-accounts": (5, account_body),
    f"GET {ACCOUNT}": (1, nothing),
    f"DELETE {ACCOUNT}": (2, nothing),
    f"GET {ACCOUNT}/tokens": (1, nothing),
    f"POST {ACCOUNT}/tokens": (7, lambda _: {"name": "a token", "expires_in_days": 30}),
    f"DELETE {ACCOUNT}/tokens/{{api_token}}": (2, nothing),
    f"POST {ACCOUNT}/tokens/{{api_token}}/rotate": (5, rotation),
}
"""By route: its weight, and how its request is built."""
