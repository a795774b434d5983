"""The tutorial is run: every command prints what the page shows."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from teamaccess.cli.commands.processes.dev import welcome
from tests.local.dev_process import StartDev

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "tutorial.md"
BLOCK = re.compile(r"```console tour\n(.*?)```", re.DOTALL)
END = "---- end of output ----"

# text that differs between runs, as it is in the tutorial and in a real answer
CHANGING = [
    (re.compile(r"\b(inv|usr)_[0-9a-f]{20}\b"), r"\1_ID"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)"), "TIME"),
    (re.compile(r'"access_token":"[^"]+"'), '"access_token":"TOKEN"'),
    (re.compile(r"zed-token: \S+"), "zed-token: TOKEN"),
    (re.compile(r"\bacme:\d+"), "acme:POSITION"),
    (re.compile(r"\bposition \d+"), "position POSITION"),
    (re.compile(r"POSITION \([0-9a-f]{12}\)"), "POSITION (HASH)"),
    (re.compile(r"\bfintoc-[0-9a-f]{12}\b"), "fintoc-VERSION"),
]


def steps() -> list[tuple[str, str]]:
    """Every command of the tutorial with the output promised for it."""
    found: list[tuple[str, str]] = []
    for block in BLOCK.findall(TUTORIAL.read_text()):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.splitlines(keepends=True)
            last = next(i for i, line in enumerate(lines) if not line.endswith("\\\n"))
            found.append(("".join(lines[: last + 1]), "".join(lines[last + 1 :])))
    return found


def with_placeholders(text: str) -> str:
    """The text with placeholders for what differs between runs."""
    for pattern, name in CHANGING:
        text = pattern.sub(name, text)
    return text.replace("\r", "").strip()


def suggested(welcome: str) -> str:
    """The output of the commands that a start suggests."""
    token, _, commands = welcome.partition("Set TOKEN in another terminal, and try:")
    script = f"{token[token.index('TOKEN=') :]}\n{commands.partition('Ctrl-C')[0]}"
    script = script.replace("curl ", "curl --fail-with-body -s ")
    script = re.sub(r"(?<= )teamaccess check", f"{sys.executable} -m teamaccess check", script)
    ran = subprocess.run(
        ["bash", "-ec", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_tutorial_prints_what_the_page_shows(
    start_dev: StartDev, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported_by_dev = start_dev().reported
    api = reported_by_dev["api"]
    monkeypatch.setenv("TEAMACCESS_HOME", str(home))
    for _ in range(2):
        tried = suggested(welcome(reported_by_dev, home))
        assert tried.startswith('{"organization":"acme"'), tried
        assert '"status":"pending"' in tried
        assert tried.endswith("yes\n")
    script = "".join(f"{command}echo '{END}'\n" for command, _ in steps())
    script = script.replace("http://127.0.0.1:8000", api).replace(".teamaccess/", f"{home}/")
    ran = subprocess.run(
        ["bash", "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    printed = ran.stdout.split(f"{END}\n")[:-1]
    reported = [(command, with_placeholders(promised)) for command, promised in steps()]
    seen = [
        (command, with_placeholders(output))
        for (command, _), output in zip(steps(), printed, strict=True)
    ]
    assert seen == reported, ran.stderr
