"""docs/reference/catalog.md: its files are read, its commands run, its Python too."""

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "catalog.md"
BLOCK = re.compile(r"^```(\w+) ?(\S*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_the_page_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    monkeypatch.setenv("NO_COLOR", "1")
    session: dict[str, object] = {}
    for language, file, block in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if language == "yaml":
            (tmp_path / file).write_text(block, encoding="utf-8")
        elif language == "console":
            assert retold(block) == block
        else:
            assert language == "pycon"
            failures = runs(block, session)
            assert not failures


def retold(console: str) -> str:
    """Return the block with what its commands print now."""
    commands = [line for line in console.splitlines() if line.startswith("$ ")]
    return "".join(f"{command}\n{output(command[2:])}" for command in commands)


def output(command: str) -> str:
    run = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)
    assert not run.stderr
    return run.stdout


def runs(block: str, session: dict[str, object]) -> int:
    """Run the block as a doctest and return how many examples failed."""
    test = doctest.DocTestParser().get_doctest(block, session, PAGE.name, str(PAGE), 0)
    runner = doctest.DocTestRunner()
    failed = runner.run(test, clear_globs=False).failed
    session.update(test.globs)
    return failed
