"""Queries, request bodies, plan files and commands read times alike."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.command_line import Run
from tests.support.organization import Organization
from tests.support.responses import refused

PAST = "2020-03-31"
ACCEPTED = "Write 2026-03-31, 2026-03-31T23:59:59Z or 2026-03-31T23:59:59+02:00."
LAST_SECOND = datetime(2030, 3, 31, 23, 59, 59, tzinfo=UTC)
FUTURE = {
    "2030-03-31T23:59:59Z": LAST_SECOND,
    "2030-03-31t23:59:59z": LAST_SECOND,
    "2030-03-31 23:59:59 +0000": LAST_SECOND,
    "2030-04-01T01:59:59+02": LAST_SECOND,
    "2030-03-31T23:59:59": LAST_SECOND,
    "2030-03-31T23:59Z": LAST_SECOND.replace(second=0),
    "2030-03-31": datetime(2030, 3, 31, tzinfo=UTC),
    "2030-03-31T23:59:59.1234567896Z": LAST_SECOND.replace(microsecond=123456),
}
REFUSED = {
    "last March": ACCEPTED,
    "2030-02-30": ACCEPTED,
    "2030-03-31T23:59:59 02:00": "has a space before its offset",
    "9999-12-31T23:59:59-12:00": "outside the years 1 to 9999",
    "9999-12-31T23:59:59.999999Z": "outside the years 1 to 9999",
}
"""A text, and what every refusal of it says."""


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (f"{PAST}T23:59:59Z", "before_it_began"),
        (f"{PAST}t23:59:59z", "before_it_began"),
        (PAST, "before_it_began"),
        (f"{PAST}T23:59:59.123456789Z", "before_it_began"),
        (f"{PAST}T23:59:59+0200", "before_it_began"),
        (f"{PAST}T23:59+02", "before_it_began"),
        (f"{PAST}T23:59:59", "before_it_began"),
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


async def test_an_end_beyond_the_calendar_is_refused(run: Run) -> None:
    reported = await run(
        *("operator", "grant-auditor", "eve@example.com", "--reason", "Yearly audit"),
        *("--until", "9999-12-31T23:59:59-12:00"),
    )
    assert reported.exit_code == 2
    assert reported.stderr.startswith("9999-12-31T23:59:59-12:00 is outside the years 1 to 9999")


@pytest.mark.parametrize("text", FUTURE)
async def test_an_end_means_the_same_in_a_body_a_plan_file_and_a_command(
    run: Run, acme: Organization, tmp_path: Path, text: str
) -> None:
    """A plan file has it quoted, as JSON does, or as a time of YAML."""
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    body = {"expires_at": text}
    changed = await acme.administrator.ask("PATCH", f"{acme.path}/members/{bob.id}", json=body)
    found = [changed.json()["expires_at"]]
    for written in (text, json.dumps(text)):
        await acme.administrator.ask(
            "PATCH", f"{acme.path}/members/{bob.id}", json={"expires_at": None}
        )
        made = await run("plan", _plan(tmp_path, acme, bob.id, written), "--apply")
        assert made.exit_code == 0, made.stderr
        member = await acme.administrator.ask("GET", f"{acme.path}/members/{bob.id}")
        found.append(member.json()["expires_at"])
    granted = await run(
        *("operator", "grant-auditor", acme.address("eve"), "--reason", "Yearly audit"),
        *("--until", text, "--json"),
    )
    found.append(json.loads(granted.stdout)["until"])
    assert {datetime.fromisoformat(each) for each in found} == {FUTURE[text]}


@pytest.mark.parametrize("text", REFUSED)
async def test_an_end_is_refused_alike_in_a_body_a_plan_file_and_a_command(
    run: Run, acme: Organization, tmp_path: Path, text: str
) -> None:
    ana = acme.administrator
    body = {"expires_at": text}
    answer = await ana.ask("PATCH", f"{acme.path}/members/{ana.id}", json=body)
    [mistake] = refused(answer, 400, "invalid_request")["errors"]
    assert mistake["key"] == "expires_at"
    planned = await run("plan", _plan(tmp_path, acme, ana.id, json.dumps(text)))
    granted = await run(
        *("operator", "grant-auditor", acme.address("eve"), "--reason", "Yearly audit"),
        *("--until", text),
    )
    assert (planned.exit_code, granted.exit_code) == (2, 2)
    for refusal in (mistake["message"], planned.stderr, granted.stderr):
        assert REFUSED[text] in refusal


async def test_a_number_is_not_a_time(acme: Organization) -> None:
    ana = acme.administrator
    answer = await ana.ask(
        "PATCH", f"{acme.path}/members/{ana.id}", json={"expires_at": 1900000000}
    )
    [mistake] = refused(answer, 400, "invalid_request")["errors"]
    assert "2026-03-31T23:59:59Z" in mistake["message"]


def _plan(folder: Path, organization: Organization, user: str, end: str) -> str:
    """A file that proposes the end of a membership, in exactly this spelling."""
    file = folder / "plan.yaml"
    change = f"{{change: set_membership_end, user: {user}, expires_at: {end}}}"
    file.write_text(f"organization: {organization.id}\nchanges:\n- {change}\n")
    return str(file)
