"""A body with a mistake is refused with a problem that has a code, and changes nothing."""

import json

import pytest

from tests.api.junk import OPTIONAL, bad_bodies
from tests.api.requests import VALID_REQUESTS, RequestTargets, Route, routes
from tests.api.snapshot import snapshot
from tests.support.deployment import Deployment
from tests.support.people import Person
from tests.support.responses import PROBLEM

BODIES = sorted((route for route in routes() if VALID_REQUESTS[route].body is not None), key=str)
BODILESS = sorted(
    (route for route in routes() if VALID_REQUESTS[route].body is None and route.method != "GET"),
    key=str,
)
JSON = {"Content-Type": "application/json"}
CODES = {
    *("invalid_request", "invalid_text", "invalid_email", "invalid_organization_id"),
    *("invalid_team_id", "unknown_role", "role_twice", "end_in_the_past", "body_too_large"),
    *("invalid_role_id", "action_twice", "nothing_selected", "end_too_far"),
    "unknown_invitation_token",
    *("unknown_action", "other_role_asked", "longer_than_asked"),
    *("unknown_resource_type", "invalid_resource_id", "unknown_resource", "resource_twice"),
    *(
        "unknown_member",
        "grant_twice",
        "place_twice",
        "unknown_team",
        "nothing_proposed",
        "change_twice",
    ),
    *("unknown_organization", "unknown_user", "invalid_resource", "nobody_to_check"),
}
OPTIONAL_TOO = {"accept": {"name"}, "approve": {"role", "duration_hours"}}
"""Further optional fields, by the end of the path."""
OTHERS = [
    *("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"),
    *("application/xml", "application/msgpack", "application/jsonx", "json", "", "é", "a/b;c=d"),
    "text/json; application/json",
]


CHECK = Route("POST", "/v1/check")


def _asked_twice(targets: RequestTargets) -> bytes:
    """The same question twice, which is valid."""
    good = targets.body(CHECK)
    return json.dumps({"checks": good["checks"] * 2}).encode()


async def caller(targets: RequestTargets, route: Route) -> Person | None:
    """A caller with the permission."""
    if route.path == "/v1/invitations/accept":
        return None
    if VALID_REQUESTS[route].operators:
        return await targets.organization.deployment.operator_person()
    return targets.organization.administrator


@pytest.mark.parametrize("route", BODIES, ids=str)
async def test_every_mistake_in_a_body_is_refused_and_changes_nothing(
    fintoc: Deployment, route: Route
) -> None:
    targets = await RequestTargets.create(await fintoc.create_organization("acme"))
    by = await caller(targets, route)
    optional = OPTIONAL | OPTIONAL_TOO.get(route.path.rpartition("/")[2], set())
    before = await snapshot(targets.organization)
    tried = 0
    for body in bad_bodies(targets.body(route), optional):
        if route == CHECK and body == _asked_twice(targets):
            continue
        answer = await targets.ask(route, by, json=None, content=body, headers=JSON)
        reported = f"{route} {body[:200]!r}: {answer.text}"
        assert 400 <= answer.status_code < 500, reported
        assert answer.headers["Content-Type"] == PROBLEM, reported
        assert answer.json()["code"] in CODES, reported
        assert answer.json()["detail"], reported
        tried += 1
    assert tried > 35
    assert await snapshot(targets.organization) == before
    assert (await targets.ask(route, by)).status_code == VALID_REQUESTS[route].success


@pytest.mark.parametrize("route", BODIES, ids=str)
async def test_a_body_without_the_json_content_type_is_refused(
    fintoc: Deployment, route: Route
) -> None:
    targets = await RequestTargets.create(await fintoc.create_organization("acme"))
    by = await caller(targets, route)
    before = await snapshot(targets.organization)
    for other in OTHERS:
        answer = await targets.ask(route, by, headers={"Content-Type": other.encode()})
        assert answer.status_code == 415, f"{other}: {answer.text}"
        assert answer.json()["code"] == "unsupported_media_type"
    assert await snapshot(targets.organization) == before
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert (await targets.ask(route, by, headers=headers)).is_success


@pytest.mark.parametrize("route", [*BODIES, *BODILESS], ids=str)
async def test_a_body_of_a_megabyte_is_refused_by_every_route(
    fintoc: Deployment, route: Route
) -> None:
    targets = await RequestTargets.create(await fintoc.create_organization("acme"))
    by = await caller(targets, route)
    before = await snapshot(targets.organization)

    answer = await targets.ask(route, by, json=None, content=b"[" * 1_000_000, headers=JSON)

    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert await snapshot(targets.organization) == before
