"""Paths, queries and methods with a mistake: a problem with a code, and nothing changes."""

import base64
import json
from typing import Any

import pytest

from teamaccess.storage import is_local_id
from tests.api.requests import VALID_REQUESTS, RequestTargets, Route, routes
from tests.api.snapshot import snapshot
from tests.api.test_openapi import UNDESCRIBED
from tests.support.deployment import Deployment
from tests.support.responses import PROBLEM, refused

ROUTES = sorted(routes(), key=str)
WITH_NAMES = [route for route in ROUTES if "{" in route.path]
LISTS = [route for route in ROUTES if VALID_REQUESTS[route].list]
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "TRACE", "CONNECT", "BREW", "get"]

NAMES = [
    *("%00", "a%00b", "%0a", "a%0ab", "%20", "%7f", "%e2%80%ae", "%f0%9f%98%80", "%c3%28", "%ff"),
    *("%ed%a0%80", "x" * 65, "x" * 8000, "*", "acme!", "ACME", "a:b", "a%2fb", "a%5cb", "%2e%2e"),
    *(
        "'%20OR%201=1--",
        "%25s",
        "{user}",
        "$1",
        "null",
        "-",
        "0",
        "-1",
        "1.5",
        "9" * 30,
        "9" * 5000,
    ),
    *("user:ana", "..;", "%252e"),
]
NUMERALS = ["٣", "1_0", "%2b1"]
"""Odd but valid ways to write a number, none of which is an id."""

LIMITS = [
    "0",
    "-1",
    "1001",
    "9" * 30,
    "9" * 5000,
    "x",
    "",
    "1.5",
    "1e9",
    "0x10",
    "NaN",
    "true",
    "%00",
]
DAYS = ["0", "-1", "36501", "9" * 30, "x", "", "%00", "1.5"]
STATUSES = ["x", "", "PENDING", "%00", "Active", "pending,active", "0"]
TEAMS = ["wizards", "%00", "", "x" * 65, "x" * 5000, "%ff", "'--", "a/b"]
ROLES = ["wizard", "%00", "", "x" * 65, "x" * 5000, "%ff", "'--", "Support"]


def cursor(key: Any) -> str:
    """A cursor in the lists' encoding, with content that no list puts into one."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


CURSORS = [
    *("", "x", "%00", "%25", "%ff%fe", "====", "AAAA", "x" * 501, "é", "W10", "bnVsbA", "!!!!"),
    *(cursor([]), cursor({}), cursor(0), cursor(None), cursor("x"), cursor(["x"])),
    *(cursor(["x", "y"]), cursor([1, 2]), cursor(["2030-01-01", "a"])),
    cursor(["2030-01-01T00:00:00", "usr_1"]),
    cursor(["2030-01-01T00:00:00Z", "usr_1\x00"]),
    cursor(["2030-01-01T00:00:00Z", "usr_1", "more"]),
    cursor(["2030-01-01T00:00:00Z", 1]),
    cursor(["0001-01-01T00:00:00+23:59", "usr_1"]),
    cursor(["9999-12-31T23:59:59-23:59", "usr_1"]),
    cursor(["10000-01-01T00:00:00Z", "usr_1"]),
    cursor(["2030-01-01T00:00:00Z", "x" * 300]),
    cursor(["2030-01-01T00:00:00Z", "' OR 1=1"]),
    cursor(["2030-01-01T00:00:00Z", "usr_1"]) + "!",
]

MOMENTS = [
    "x",
    "",
    "-1",
    "0",
    "9" * 30,
    "%00",
    "2030-01-01",
    "2999-01-01T00:00:00Z",
    "2026-02-30T00:00:00Z",
]

QUERIES = {
    "limit": LIMITS,
    "cursor": CURSORS,
    "status": STATUSES,
    "role": ROLES,
    "team": TEAMS,
    "inactive_days": DAYS,
    "all": ["x", "", "2", "%00", "null"],
    "mine": ["x", "", "2", "%00", "null"],
    "at": MOMENTS,
}
INVALID = {(400, "invalid_request")}
CODES = {
    **dict.fromkeys(QUERIES, INVALID),
    "cursor": INVALID | {(400, "invalid_cursor")},
    "role": INVALID | {(400, "unknown_role")},
    "team": INVALID | {(404, "unknown_team")},
    "at": INVALID
    | {(400, code) for code in ("not_yet", "out_of_calendar", "before_it_began")}
    | {(400, "position_ahead")},
}
WHEN = ["at", "basis"]
OTHER_PARAMETERS = {
    Route("GET", "/v1/organizations/{organization}/audit/who-can"): ["action", "resource", *WHEN],
    Route("GET", "/v1/organizations/{organization}/audit/what-can"): ["user", *WHEN],
    Route("GET", "/v1/organizations/{organization}/audit/why"): [
        "user",
        "action",
        "resource",
        *WHEN,
    ],
    Route("GET", "/v1/organizations/{organization}/audit/matrix"): WHEN,
    Route("DELETE", "/v1/organizations/{organization}/roles/{role}"): ["reassign"],
    Route("GET", "/v1/organizations/{organization}/resources/{type}/{resource}/grants"): ["at"],
}
"""Query parameters of routes that list nothing."""
LIST_PARAMETERS = {
    "/v1/organizations": ["limit", "cursor", "all"],
    "/v1/organizations/{organization}/members": [
        "limit",
        "cursor",
        "status",
        "role",
        "team",
        "inactive_days",
        "at",
    ],
    "/v1/organizations/{organization}/access-requests": ["limit", "cursor", "status", "mine"],
    "/v1/organizations/{organization}/teams": ["limit", "cursor", "at"],
    "/v1/organizations/{organization}/teams/{team}/members": ["limit", "cursor", "at"],
    "/v1/organizations/{organization}/roles": ["limit", "cursor", "at"],
    "/v1/organizations/{organization}/invitations": ["limit", "cursor", "status", "at"],
    "/v1/organizations/{organization}/resources/{type}": ["limit", "cursor"],
    "/v1/organizations/{organization}/service-accounts": ["limit", "cursor"],
    "/v1/organizations/{organization}/service-accounts/{account}/tokens": ["limit", "cursor"],
}


NAMED_BY_THE_CALLER = (
    Route("PUT", "/v1/organizations/{organization}/resources/{type}/{resource}"),
    "{resource}",
)
"""An id that the caller chooses, so a valid one that does not exist is not a mistake."""


@pytest.fixture(scope="module")
async def targets(fintoc: Deployment) -> RequestTargets:
    """One for all: nothing here may change it."""
    return await RequestTargets.create(await fintoc.create_organization("acme"))


@pytest.mark.parametrize("route", WITH_NAMES, ids=str)
async def test_unknown_ids_are_not_found_whatever_their_characters(
    targets: RequestTargets, route: Route
) -> None:
    ana = targets.organization.administrator
    before = await snapshot(targets.organization)
    for part in [each for each in route.path.split("/") if each.startswith("{")]:
        for name in [*NAMES, *(NUMERALS if part != "{position}" else [])]:
            if (route, part) == NAMED_BY_THE_CALLER and is_local_id(name):
                continue
            url = targets.url(route, **{part.strip("{}"): name})
            answer = await ana.ask(route.method, url, json=targets.body(route))
            reported = f"{route.method} {url[:120]}: {answer.status_code} {answer.text[:300]}"
            assert answer.status_code in (400, 404, 405), reported
            assert answer.headers["Content-Type"] == PROBLEM, reported
            assert answer.json()["code"], reported
    assert await snapshot(targets.organization) == before


def test_every_list_has_its_query_parameters_in_this_table() -> None:
    assert {route.path for route in LISTS} == set(LIST_PARAMETERS)


@pytest.mark.parametrize("route", LISTS, ids=str)
async def test_invalid_queries_are_refused(targets: RequestTargets, route: Route) -> None:
    ana, url = targets.organization.administrator, targets.url(route)
    for name in LIST_PARAMETERS[route.path]:
        for value in QUERIES[name]:
            answer = await ana.ask("GET", f"{url}?{name}={value}")
            reported = f"{url}?{name}={value[:80]}: {answer.text[:300]}"
            assert answer.headers["Content-Type"] == PROBLEM, reported
            assert (answer.status_code, answer.json()["code"]) in CODES[name], reported


@pytest.mark.parametrize("route", LISTS, ids=str)
async def test_odd_but_meaningless_queries_do_no_harm(
    targets: RequestTargets, route: Route
) -> None:
    ana, url = targets.organization.administrator, targets.url(route)
    for query in ("unknown=1", "&&&", "=", "%00=%00", "limit=1&limit=2", "a[]=1", "?" * 100):
        answer = await ana.ask("GET", f"{url}?{query}")
        assert answer.status_code in (200, 400), f"{query}: {answer.text}"


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.path not in UNDESCRIBED], ids=str
)
async def test_an_unknown_query_parameter_is_refused(targets: RequestTargets, route: Route) -> None:
    before = await snapshot(targets.organization)
    answer = await targets.ask(
        route, targets.organization.administrator, params={"rôle": "support"}
    )
    problem = refused(answer, 400, "unknown_parameter")
    assert problem["parameter"] == "rôle"
    takes = (
        LIST_PARAMETERS[route.path]
        if VALID_REQUESTS[route].list
        else OTHER_PARAMETERS.get(route, ["none"])
    )
    assert sorted(problem["parameters"]) == sorted(takes)
    assert await snapshot(targets.organization) == before


async def test_a_misspelt_filter_or_cursor_does_not_list_everything(
    targets: RequestTargets,
) -> None:
    ana, members = targets.organization.administrator, f"{targets.organization.path}/members"
    for query in ("rol=support", "Status=active", "curser=x", "limit=1&page=2"):
        refused(await ana.ask("GET", f"{members}?{query}"), 400, "unknown_parameter")


@pytest.mark.parametrize("path", sorted({route.path for route in ROUTES}))
async def test_unsupported_methods_are_refused(targets: RequestTargets, path: str) -> None:
    ana = targets.organization.administrator
    before = await snapshot(targets.organization)
    known = {route.method: route for route in ROUTES if route.path == path}
    url = targets.url(next(iter(known.values())))
    for method in METHODS:
        as_get = method == "HEAD" and "GET" in known
        if method.upper() not in known and not as_get:
            answer = await ana.deployment.http.request(
                method, url, headers={"Authorization": f"Bearer {ana.token}"}
            )
            assert answer.status_code == 405, f"{method} {url}"
            assert answer.headers["Content-Type"] == PROBLEM
            assert set(answer.headers["Allow"].split(", ")) >= known.keys()
    assert await snapshot(targets.organization) == before


async def test_unknown_paths_are_not_found(fintoc: Deployment) -> None:
    for path in (
        "/v1",
        "/v2/me",
        "/v1/organisations",
        "/%00",
        "/" + "x" * 9000,
        "/.env",
    ):
        answer = await fintoc.http.get(path)
        assert refused(answer, 404, "not_found")["title"] == "Not Found"
        assert answer.headers["X-Request-Id"]
