"""The commands and the API read times alike."""

import json

import pytest

from tests.support.command_line import Run
from tests.support.organization import Organization

PAST = "2020-03-31"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (f"{PAST}T23:59:59Z", "before_it_began"),
        (f"{PAST}t23:59:59z", "before_it_began"),
        (PAST, "before_it_began"),
        (f"{PAST}T23:59:59.123456789Z", "before_it_began"),
        (f"{PAST}T23:59:59+0200", "before_it_began"),
        (f"{PAST}T23:59+02", "before_it_began"),
        (f"{PAST}T23:59:59 02:00", "lost_plus"),
        ("9999-12-31T23:59:59-12:00", "out_of_calendar"),
        ("last March", "no_such_time"),
        ("1600000000", "no_such_time"),
    ],
)
async def test_a_time_means_the_same_to_the_api_and_to_commands(
    run: Run, acme: Organization, text: str, code: str
) -> None:
    reported = await run("audit", "who-can", acme.id, "refunds_create", "--at", text, "--json")
    assert (reported.exit_code, json.loads(reported.stderr)["code"]) == (2, code)
    if code in ("lost_plus", "no_such_time"):
        code = "invalid_request"  # as for every other parameter of HTTP
    for question in ("who-can", "matrix"):
        query = {"at": text} | ({"action": "refunds_create"} if question == "who-can" else {})
        path = f"{acme.path}/audit/{question}"
        answer = await acme.administrator.ask("GET", path, params=query)
        assert (answer.status_code, answer.json()["code"]) == (400, code)


async def test_a_plus_that_a_url_made_a_space_is_explained(acme: Organization) -> None:
    path = f"{acme.path}/audit/matrix?at={PAST}T23:59:59+02:00"
    problem = (await acme.administrator.ask("GET", path)).json()
    assert problem["code"] == "invalid_request"
    assert "write the + as %2B" in problem["detail"]


async def test_only_a_command_takes_a_time_without_a_zone(run: Run, acme: Organization) -> None:
    reported = await run("audit", "matrix", acme.id, "--at", f"{PAST}T23:59:59", "--json")
    assert json.loads(reported.stderr)["code"] == "before_it_began"
    path = f"{acme.path}/audit/matrix?at={PAST}T23:59:59"
    assert (await acme.administrator.ask("GET", path)).json()["code"] == "time_without_zone"


async def test_an_end_beyond_the_calendar_is_refused(run: Run) -> None:
    reported = await run(
        *("operator", "grant-auditor", "eve@example.com", "--reason", "Yearly audit"),
        *("--until", "9999-12-31T23:59:59-12:00"),
    )
    assert reported.exit_code == 2
    assert reported.stderr.startswith("9999-12-31T23:59:59-12:00 is outside the years 1 to 9999")
