"""The page of events lists every kind with its subject and details."""

import ast
from collections import Counter
from pathlib import Path

import teamaccess
from docsite import events
from teamaccess.changes.events import EventDetails, EventKind

CLASSES = [each for module in events.SECTIONS.values() for each in events.kinds_of(module)]


def test_each_kind_of_event_has_one_class_for_its_details() -> None:
    assert Counter(each.kind for each in CLASSES) == Counter(EventKind)


def test_the_page_is_generated_from_the_classes() -> None:
    written = events.PAGE.read_text(encoding="utf-8")
    assert written == events.page(), "run .venv/bin/python -m docsite.events"


def test_each_kind_of_event_is_recorded_somewhere() -> None:
    recorded = {
        name
        for file in Path(teamaccess.__path__[0]).rglob("*.py")
        if file.parent.name != "events"
        for name in names_in(file)
    }
    assert {each.__name__ for each in CLASSES} <= recorded


def test_the_docstring_of_each_kind_says_when_it_is_recorded() -> None:
    for each in CLASSES:
        assert each.__doc__ not in (None, EventDetails.__doc__), each
        assert "|" not in str(each.__doc__), each


def names_in(file: Path) -> set[str]:
    """Return the names that a module uses."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
