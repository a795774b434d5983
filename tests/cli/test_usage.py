"""Usage errors of commands, which need no running stack."""

import json
import socket
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from teamaccess.cli.main import COMMANDS, app


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder in which nothing runs."""
    monkeypatch.chdir(tmp_path)


def teamaccess(command: str) -> Result:
    return CliRunner().invoke(app, command.split(), prog_name="teamaccess")


@pytest.mark.parametrize(
    ("command", "mistake", "ask"),
    [
        ("chekc", "No such command 'chekc'. Did you mean 'check'?", "teamaccess"),
        ("ledger verfy", "No such command 'verfy'. Did you mean 'verify'?", "teamaccess ledger"),
        ("--nope", "No such option: --nope", "teamaccess"),
        ("check acme", "Missing argument 'user'.", "teamaccess check"),
        (
            "check a b c --jsno",
            "No such option: --jsno (Possible options: --json)",
            "teamaccess check",
        ),
        ("token issue x --hours 99", "Invalid value for '--hours'", "teamaccess token issue"),
        (
            "schema validate /nope",
            "no catalog can be read from /nope",
            "teamaccess schema validate",
        ),
        ("dev bla", "Got unexpected extra argument(s) (bla)", "teamaccess dev"),
        ("dev --port 99999", "Invalid value for '--port'", "teamaccess dev"),
        ("dev --spicedb-port -1", "Invalid value for '--spicedb-port'", "teamaccess dev"),
        ("serve --port 65536", "Invalid value for '--port'", "teamaccess serve"),
        ("reconcile --max-deletes x", "Invalid value for '--max-deletes'", "teamaccess reconcile"),
        ("import members nope.csv --organization acme", "nope.csv", "teamaccess import members"),
    ],
)
def test_a_usage_error_is_two_lines(command: str, mistake: str, ask: str) -> None:
    refused = teamaccess(command)
    assert (refused.exit_code, refused.stdout) == (2, "")
    line, hint = refused.stderr.splitlines()
    assert mistake in line
    assert hint == f"Try `{ask} --help`."


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("audit who-can acme links_view --at 2026-01-01 --at 2026-02-01", "--at"),
        ("token issue --operator a --operator b", "--operator"),
        ("import members nothing.csv --organization acme --organization globex", "--organization"),
        ("reconcile --max-deletes 1 --max-deletes=2", "--max-deletes"),
    ],
)
def test_an_option_that_takes_one_value_is_refused_when_it_is_given_twice(
    command: str, option: str
) -> None:
    refused = teamaccess(command)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert f"The option {option} is given 2 times. Give it once." in refused.stderr


@pytest.mark.parametrize("group", ["", "ledger", "schema", "token", "operator", "import"])
def test_a_group_without_a_command_shows_its_help(group: str) -> None:
    shown = teamaccess(group)
    assert (shown.exit_code, shown.stderr) == (2, "")
    assert "Usage: teamaccess" in shown.stdout


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_is_short_or_long(command: str) -> None:
    short, long = (teamaccess(f"{command} {option}") for option in ("-h", "--help"))
    assert (short.exit_code, short.stdout) == (0, long.stdout)


def test_version_prints_the_version() -> None:
    assert teamaccess("--version").stdout == f"teamaccess {version('teamaccess')}\n"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("check acme --json", "invalid_usage"),
        ("chekc --json", "invalid_usage"),
        ("check acme ana users_invite --json", "stack_not_found"),
        ("token issue --json", "user_or_operator"),
        ("schema validate /nope --json", "invalid_usage"),
    ],
)
def test_with_json_a_refusal_is_a_line_of_json(command: str, code: str) -> None:
    refused = teamaccess(command)
    assert (refused.exit_code, refused.stdout) == (2, "")
    [line] = refused.stderr.splitlines()
    reported = json.loads(line)
    assert reported["code"] == code
    assert reported["detail"]


def test_with_json_a_crash_is_json_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "check", "nothing")
    crashed = teamaccess("check --json")
    assert crashed.exit_code == 2
    reported = json.loads(crashed.stderr)
    assert reported["code"] == "internal_error"
    assert reported["traceback"].startswith("Traceback")
    assert teamaccess("check").stderr.startswith("Traceback")


def test_a_port_in_use_is_reported_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "SPICEDB_ENDPOINT", "SPICEDB_PRESHARED_KEY", "SECRET_KEY"):
        monkeypatch.setenv(f"TEAMACCESS_{name}", "postgresql://nowhere:1/for/this/test")
    monkeypatch.setenv("TEAMACCESS_SPICEDB_ENDPOINT", "127.0.0.1:1")
    monkeypatch.setenv("TEAMACCESS_MAIL", "off")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = teamaccess(f"serve --port {port}")
    assert refused.exit_code == 2
    [line] = refused.stderr.splitlines()
    assert line.startswith(f"Can't listen on 127.0.0.1 port {port} (Address already in use)")
