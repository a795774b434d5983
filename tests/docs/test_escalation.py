"""The pages on escalation and threats name tests that exist."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
DOCS = TESTS.parent / "docs"


def test_every_test_named_on_the_page_of_escalation_exists() -> None:
    there = {
        name
        for path in TESTS.rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    named = set(re.findall(r"`(test_\w+)`", (DOCS / "explanation" / "escalation.md").read_text()))
    assert named
    assert sorted(named - there) == []


def test_the_threat_model_names_every_file_of_attacks_and_no_other() -> None:
    there = {path.name for path in (TESTS / "attacks").glob("test_*.py")}
    named = set(re.findall(r"`(test_\w+\.py)`", (DOCS / "explanation" / "threats.md").read_text()))
    assert named ^ there == {"test_coalition_finds.py"}, named ^ there
