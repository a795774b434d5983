"""The README starts with two commands."""

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def test_the_first_screen_has_two_commands_and_no_more() -> None:
    screen, heading, _ = README.read_text().partition("## How it works")
    assert heading
    commands = re.findall(r"^make \w+", screen, re.MULTILINE)
    assert commands == ["make run", "make test"]
