"""What `teamaccess serve` refuses before it listens."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from teamaccess.cli.main import app

NEEDED = {
    "DATABASE_URL": "postgresql:///none",
    "SPICEDB_ENDPOINT": "127.0.0.1:1",
    "SPICEDB_PRESHARED_KEY": "a key",
    "SECRET_KEY": "a secret of nobody",
}


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**NEEDED, "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(f"TEAMACCESS_{name}", value)
    for name in ("MAIL", "SMTP_URL"):
        monkeypatch.delenv(f"TEAMACCESS_{name}", raising=False)


def test_serve_needs_a_decision_about_mail() -> None:
    done = CliRunner().invoke(app, ["serve", "--port", "0"])
    assert done.exit_code == 2
    for remedy in ("TEAMACCESS_SMTP_URL", "TEAMACCESS_MAIL", "file", "off"):
        assert remedy in done.output


@pytest.mark.parametrize(
    "command",
    [["serve"], ["worker"], ["operator", "auditors"], ["schema", "apply"], ["migrate"], ["dev"]],
)
def test_no_command_starts_with_a_misspelled_setting(
    monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("TEAMACCESS_MAIL", "off")
    monkeypatch.setenv("TEAMACCESS_SMTPURL", "smtp://ana:hunter2@mail.example")
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 2
    assert "did you mean TEAMACCESS_SMTP_URL?" in done.output
    assert "hunter2" not in done.output
