"""The pages on catalogs are true: the test writes their files, and runs their commands and Python."""

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS / "how-to" / "write-a-catalog.md", DOCS / "reference" / "catalog.md"]
"""The second page refers to the files of the first."""
BLOCK = re.compile(r"^```(\w+) ?(\S*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_the_examples_of_the_pages_on_catalogs_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    monkeypatch.setenv("NO_COLOR", "1")
    session: dict[str, object] = {}
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    for language, file, block in BLOCK.findall(text):
        if language == "yaml":
            (tmp_path / file).write_text(block, encoding="utf-8")
        elif language == "console":
            assert with_current_output(block) == block
        else:
            assert language == "pycon"
            failures = count_failures(block, session)
            assert not failures


def with_current_output(console: str) -> str:
    """The block with the current output of its commands."""
    commands = [line for line in console.splitlines() if line.startswith("$ ")]
    return "".join(f"{command}\n{output(command[2:])}" for command in commands)


def output(command: str) -> str:
    run = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)
    assert not run.stderr
    return run.stdout


def count_failures(block: str, session: dict[str, object]) -> int:
    """Run the block as a doctest and return how many examples failed."""
    test = doctest.DocTestParser().get_doctest(block, session, "catalog", None, 0)
    runner = doctest.DocTestRunner()
    failed = runner.run(test, clear_globs=False).failed
    session.update(test.globs)
    return failed
