"""What commands print: no closed pipe and no encoding changes their answer."""

import asyncio
import csv
import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from teamaccess.__main__ import QUIET
from teamaccess.storage import User
from tests.support.command_line import Run
from tests.support.organization import Organization
from tests.support.people import Person

NAME = "Zoë 株式 \U0001f600"
ROOT = Path(__file__).parents[2]
ENCODINGS = ["ascii", "cp1252"]


class Printed(NamedTuple):
    """A finished process."""

    exit_code: int
    stdout: bytes
    stderr: bytes


async def printed(*words: str, encoding: str = "utf-8", stdout: int | None = None) -> Printed:
    """Run a command as a process of its own, with its output in an encoding, or to a descriptor."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "teamaccess", *words],
        stdout=subprocess.PIPE if stdout is None else stdout,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        check=False,
    )
    return Printed(done.returncode, done.stdout or b"", done.stderr)


@pytest.fixture
async def zoe(run: Run, acme: Organization) -> Person:
    """A member whose name few encodings have. `run` puts the settings into the environment."""
    zoe = (await acme.add_members({"zoe": ["support"]}))["zoe"]
    async with acme.deployment.operator(acme.id) as change:
        (await change.session.get_one(User, zoe.id)).name = NAME
    return zoe


@pytest.fixture
def closed_pipe() -> int:
    """A pipe whose reader is gone, as behind `| head -0`."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


async def test_a_closed_pipe_does_not_change_a_verdict(
    acme: Organization, zoe: Person, closed_pipe: int
) -> None:
    questions = {
        ("audit", "why", acme.id, zoe.id, "refunds_create"): 0,
        ("audit", "why", acme.id, zoe.id, "users_invite"): 1,
        ("audit", "why", acme.id, zoe.id, "refunds_create", "--json"): 0,
        ("check", acme.id, zoe.id, "refunds_create"): 0,
        ("check", acme.id, zoe.id, "users_invite"): 1,
        ("audit", "matrix", acme.id): 0,
        ("audit", "matrix", acme.id, "--csv"): 0,
        ("--help",): 0,
        ("check", acme.id, "nobody", "refunds_create"): 2,
    }
    for words, code in questions.items():
        done = await printed(*words, stdout=closed_pipe)
        assert done.exit_code == code, (words, done.stderr)
        assert b"Traceback" not in done.stderr
        assert b"Exception ignored" not in done.stderr
    os.close(closed_pipe)


NAMES_WITH_A_FAULT = """
import sys
from checks import names
names.REPEATED = {"nothing": "no reason"}
sys.exit(names.main())
"""


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["-m", "benchmarks", "--help"], 0),
        (["-m", "teamaccess.local.spicedb.build", "--help"], 0),
        (["-c", NAMES_WITH_A_FAULT], 1),
    ],
    ids=["benchmarks", "build", "names"],
)
async def test_a_closed_pipe_does_not_change_what_other_programs_answer(
    closed_pipe: int, words: list[str], code: int
) -> None:
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, *words],
        stdout=closed_pipe,
        stderr=subprocess.PIPE,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == code, done.stderr
    assert done.stderr == b""


async def test_a_change_is_made_although_nobody_reads_its_result(
    acme: Organization, zoe: Person, closed_pipe: int, tmp_path: Path
) -> None:
    change = {"change": "set_roles", "user": zoe.id, "roles": ["product"]}
    file = tmp_path / "plan.json"
    file.write_text(json.dumps({"organization": acme.id, "changes": [change]}))
    done = await printed("plan", str(file), "--apply", stdout=closed_pipe)
    os.close(closed_pipe)
    assert done.exit_code == 0, done.stderr
    assert (await acme.roles_by_member())[zoe.id] == ["product"]


async def test_a_closed_output_is_no_error(acme: Organization, zoe: Person) -> None:
    words = f"{sys.executable} -m teamaccess audit matrix {acme.id} >&- 2>&-"
    done = await asyncio.to_thread(subprocess.run, ["sh", "-c", words], check=False)
    assert done.returncode == 0


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_every_command_prints_every_name_in_every_encoding(
    acme: Organization, zoe: Person, encoding: str
) -> None:
    shown = ""
    for words in (
        ("audit", "who-can", acme.id, "refunds_create"),
        ("audit", "why", acme.id, zoe.id, "refunds_create"),
        ("operator", "create-organization", f"{acme.id}-{encoding}", "--name", NAME),
        ("audit", "--help"),
    ):
        done = await printed(*words, encoding=encoding)
        assert done.exit_code == 0, done.stderr
        done.stdout.decode(encoding)
        if "who-can" in words:
            shown = done.stdout.decode(encoding)
    assert "Zo" in shown
    widths = {len(line) for line in shown.splitlines() if line.startswith(("+", "|"))}
    assert len(widths) == 1, shown


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_json_and_csv_keep_their_meaning_in_every_encoding(
    acme: Organization, zoe: Person, encoding: str
) -> None:
    words = ("audit", "who-can", acme.id, "refunds_create")
    done = await printed(*words, "--json", encoding=encoding)
    names = [each["name"] for each in json.loads(done.stdout.decode(encoding))["items"]]
    assert NAME in names
    table = (await printed(*words, "--csv", encoding=encoding)).stdout.decode("utf-8-sig")
    assert NAME in [row["name"] for row in csv.DictReader(io.StringIO(table))]


async def test_an_error_is_printed_in_every_encoding(acme: Organization, zoe: Person) -> None:
    encoding = "ascii"
    plain = await printed("check", acme.id, NAME, "refunds_create", encoding=encoding)
    assert (plain.exit_code, b"Traceback" in plain.stderr) == (2, False)
    as_json = await printed("check", acme.id, NAME, "refunds_create", "--json", encoding=encoding)
    assert NAME in json.loads(as_json.stderr.decode(encoding))["detail"]


async def test_an_argument_that_is_not_text_is_refused(acme: Organization, zoe: Person) -> None:
    for more in ((), ("--json",)):
        done = await printed("check", acme.id, os.fsdecode(b"ana\xff"), "refunds_create", *more)
        assert (done.exit_code, b"Traceback" in done.stderr) == (2, False), done.stderr


async def test_a_terminal_of_any_encoding_shows_a_table_and_progress(
    acme: Organization, zoe: Person, tmp_path: Path
) -> None:
    encoding = "cp1252"
    file = tmp_path / "members.csv"
    file.write_text(f"email,name,role\np@{acme.id}.example,{NAME},support\n", encoding="utf-8")
    for words in (
        ("audit", "who-can", acme.id, "refunds_create"),
        ("audit", "who-can", acme.id, "refunds_create", "--csv"),
        ("import", "members", str(file), "--organization", acme.id),
    ):
        exit_code, shown = await asyncio.to_thread(on_a_terminal, words, encoding)
        assert exit_code == 0, shown
        assert "Traceback" not in shown.decode(encoding)


def on_a_terminal(words: tuple[str, ...], encoding: str) -> tuple[int, bytes]:
    """Run a command on a terminal, and return its exit code and all that it shows."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "teamaccess", *words],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "PYTHONIOENCODING": encoding, "TERM": "xterm", "COLUMNS": "200"},
    )
    os.close(terminal)
    shown = b""
    try:
        while part := os.read(controller, 65536):
            shown += part
    except OSError:  # the terminal has no writer any more
        pass
    os.close(controller)
    return process.wait(), shown


@pytest.mark.parametrize("words", [("reconcile",), ("ledger", "verify"), ("worker",)])
async def test_no_line_of_a_library_comes_between_those_of_a_command(
    run: Run, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """SpiceDB has no TLS here, and gRPC reported each refused handshake by itself."""
    for name in QUIET:
        monkeypatch.delenv(name, raising=False)  # which the tests set for themselves
    monkeypatch.setenv("TEAMACCESS_SPICEDB_TLS", "true")
    monkeypatch.setenv("TEAMACCESS_LOG_FORMAT", "json")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "teamaccess", *words),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout
    assert process.stderr
    printed_lines = []
    async with asyncio.timeout(60):
        async for line in process.stdout:
            printed_lines.append(line.decode())
            if "watch_failed" in printed_lines[-1]:
                process.terminate()
        errors = (await process.stderr.read()).decode()
        await process.wait()
    assert "ssl_transport_security" not in errors
    if words == ("worker",):
        assert errors == ""
        assert all(json.loads(line)["event"] for line in printed_lines)
    else:
        assert process.returncode in (0, 1, 2)  # 1 for what other tests altered in this database
