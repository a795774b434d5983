"""A command names the real cause of its failure."""

import asyncio
import sys
from pathlib import Path

import pytest

from teamaccess.local.postgres.server import SPICEDB
from teamaccess.local.stack import LocalStack
from teamaccess.upkeep.datastore import VARIABLE
from tests.support.command_line import Run
from tests.support.deployment import Deployment

GUESS = "PostgreSQL does not answer"


async def test_a_missing_authority_of_spicedb_is_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TEAMACCESS_SPICEDB_TLS_CA", str(tmp_path / "ca.pem"))
    done = await run("operator", "auditors")
    assert done.exit_code == 2
    assert "TEAMACCESS_SPICEDB_TLS_CA" in done.output
    assert "No such file or directory" in done.output
    assert GUESS not in done.output


async def test_a_file_that_is_not_a_certificate_is_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_text("a key")
    monkeypatch.setenv("TEAMACCESS_SPICEDB_TLS_CA", str(tmp_path / "ca.pem"))
    done = await run("operator", "auditors")
    assert "has no certificate in PEM" in done.output


async def test_missing_tables_are_named(
    run: Run, fintoc: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address names a database that was never migrated."""
    elsewhere = fintoc.settings.database_url.replace("/teamaccess_fintoc?", "/postgres?")
    monkeypatch.setenv("TEAMACCESS_DATABASE_URL", elsewhere)
    done = await run("operator", "auditors")
    assert done.exit_code == 2
    assert "teamaccess migrate" in done.output
    assert GUESS not in done.output


@pytest.mark.parametrize("command", [["operator", "auditors"], ["migrate"]])
async def test_a_database_that_does_not_exist_is_named(
    run: Run, fintoc: Deployment, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    for name, address in (
        ("DATABASE_URL", fintoc.settings.database_url),
        ("OWNER_DATABASE_URL", fintoc.owner_url),
    ):
        monkeypatch.setenv(f"TEAMACCESS_{name}", address.replace("_fintoc?", "_none?"))
    done = await run(*command)
    assert done.exit_code == 2
    assert "does not exist" in done.output
    assert "answers" in done.output
    assert "with an error" in done.output
    assert GUESS not in done.output
    assert "Traceback" not in done.output


async def test_an_error_of_spicedbs_database_is_named(
    run: Run, stack: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, stack.postgres.url("spicedb_none", SPICEDB))
    done = await run("schema", "datastore")
    assert done.exit_code == 2
    assert done.stderr.startswith("SpiceDB's database answers with an error")
    assert "does not exist" in done.stderr
    assert VARIABLE in done.stderr


@pytest.mark.usefixtures("run")
async def test_a_full_disk_is_named(fintoc: Deployment) -> None:
    """The device refuses every byte, as a full disk does."""
    await fintoc.create_organization("full")
    with open("/dev/full", "wb") as full:  # noqa: ASYNC230, PTH123
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-u",
            "-m",
            "teamaccess",
            "ledger",
            "heads",
            stdout=full,
            stderr=asyncio.subprocess.PIPE,
        )
        _, output = await process.communicate()
    assert process.returncode == 2
    assert b"No space left on device" in output
    assert GUESS.encode() not in output
    assert b"Traceback" not in output
