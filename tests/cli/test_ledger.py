"""`teamaccess ledger` and its exit statuses."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from teamaccess.local.postgres.server import OWNER, SUPERUSER
from tests.support.command_line import Run
from tests.support.organization import Organization

ALTER = "UPDATE ledger SET actor = $1 WHERE organization_id = $2 AND position = 1"
ACTOR = "SELECT actor FROM ledger WHERE organization_id = $1 AND position = 1"

VERIFIED = "Verified: chains 2, entries 3, kept heads 0, reasons 1 (0 erased)."


@asynccontextmanager
async def altered(organization: Organization) -> AsyncIterator[None]:
    """Alter an entry as a superuser."""
    connection = await asyncpg.connect(
        organization.deployment.owner_url.replace(OWNER, SUPERUSER, 1)
    )
    await connection.execute("SET session_replication_role = replica")
    actor = await connection.fetchval(ACTOR, organization.id)
    await connection.execute(ALTER, "user:nobody", organization.id)
    try:
        yield
    finally:
        await connection.execute(ALTER, actor, organization.id)
        await connection.close()


async def test_an_intact_ledger_is_reported_with_what_was_verified(
    run: Run, acme: Organization
) -> None:
    reported = await run("ledger", "verify", "--organization", acme.id)
    as_json = await run("ledger", "verify", "--organization", acme.id, "--json")
    assert (reported.exit_code, as_json.exit_code) == (0, 0), reported.output
    assert reported.stdout == f"Everything holds. {VERIFIED}\n"
    facts = json.loads(as_json.stdout)
    assert facts.pop("as_of").startswith("20")
    assert facts == {
        "holds": True,
        "chains": 2,
        "entries": 3,
        "kept_heads": 0,
        "reasons": 1,
        "reasons_erased": 0,
        "findings": [],
    }
    assert reported.stderr + as_json.stderr == ""


async def test_a_broken_ledger_is_reported_with_exit_status_one(
    run: Run, acme: Organization
) -> None:
    async with altered(acme):
        reported = await run("ledger", "verify", "--organization", acme.id)
        as_json = await run("ledger", "verify", "--organization", acme.id, "--json")
    assert (reported.exit_code, as_json.exit_code) == (1, 1)
    assert reported.stdout.splitlines() == [
        f"ledger of {acme.id}, position 1: its content differs from its hash",
        f"ledger of {acme.id}, position 1: no event of its transaction is about it",
        f"Not everything holds. {VERIFIED}",
    ]
    facts = json.loads(as_json.stdout)
    assert facts["holds"] is False
    assert facts["findings"] == [
        {"kind": "ledger", "chain": acme.id, "position": 1, "fault": fault}
        for fault in ("altered", "entry_without_event")
    ]
    assert (await run("ledger", "verify", "--organization", acme.id)).exit_code == 0


async def test_heads_are_exported_and_compared(
    run: Run, acme: Organization, tmp_path: Path
) -> None:
    exported = await run("ledger", "heads", "--organization", acme.id)
    lines = [json.loads(line) for line in exported.stdout.splitlines()]
    assert [(line["kind"], line["chain"], line["position"]) for line in lines] == [
        ("ledger", acme.id, 1),
        ("events", acme.id, 2),
    ]
    assert (await run("ledger", "heads")).stdout.count("\n") > 2

    kept = tmp_path / "heads.jsonl"
    kept.write_text(exported.stdout)
    verify = ("ledger", "verify", "--organization", acme.id, "--heads", str(kept))
    assert "kept heads 2," in (await run(*verify)).stdout
    kept.write_text(exported.stdout.replace(lines[0]["hash"], "0" * 64))
    differs = await run(*verify)
    assert differs.exit_code == 1
    assert f"{acme.id}, position 1: its hash differs from the kept one" in differs.stdout


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("", "The file has no chain head of any chain to compare with."),
        ("acme 1 af07\n", "heads.jsonl, line 1: this is not a chain head"),
        (None, "does not exist"),
    ],
)
async def test_unreadable_heads_are_an_error_and_not_a_broken_ledger(
    run: Run, tmp_path: Path, text: str | None, answer: str
) -> None:
    kept = tmp_path / "heads.jsonl"
    if text is not None:
        kept.write_text(text)
    refused = await run("ledger", "verify", "--heads", str(kept))
    assert refused.exit_code == 2
    assert answer in " ".join(refused.stderr.split())
    assert refused.stdout == ""


async def test_an_unknown_organization_is_an_error(run: Run) -> None:
    for command in ("verify", "heads"):
        refused = await run("ledger", command, "--organization", "no-such")
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert "There is no organization no-such" in refused.stderr


async def test_an_unavailable_database_is_an_error_and_not_a_broken_ledger(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAMACCESS_DATABASE_URL", "postgresql://teamaccess@127.0.0.1:1/nothing")
    refused = await run("ledger", "verify")
    assert refused.exit_code == 2
    assert "PostgreSQL does not answer" in refused.stderr
