"""The story that the page for contributors shows is complete, and passes."""

import re
import textwrap
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.support.deployment import Deployment
from tests.support.organization import Organization

ROOT = Path(__file__).parents[2]
CODE = re.compile(r"^ *```python\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
FIXTURE = re.compile(r"^@pytest\.fixture.*\n(?:async )?def (\w+)", re.MULTILINE)
PLUGINS = [
    ROOT / "tests" / "conftest.py",
    ROOT / "tests" / "oidc" / "fixtures.py",
    *(ROOT / "tests" / "support").glob("*.py"),
]

Story = Callable[[Organization], Awaitable[None]]


def stories(page: str) -> list[Story]:
    """The tests in the Python code of a page."""
    module: dict[str, Any] = {}
    for code in CODE.findall((ROOT / page).read_text()):
        exec(compile(textwrap.dedent(code), page, "exec"), module)  # noqa: S102 - code of our own pages
    return [story for name, story in module.items() if name.startswith("test_")]


async def test_the_story_on_the_page_passes(fintoc: Deployment) -> None:
    [story] = stories("tests/README.md")
    await story(await fintoc.create_organization("acme"))


def test_the_page_lists_every_shared_fixture() -> None:
    fixtures = {name for path in PLUGINS for name in FIXTURE.findall(path.read_text())}
    page = (ROOT / "tests" / "README.md").read_text()
    listed = {
        name
        for row in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    assert fixtures - listed == {"log_as_before"}  # it applies to every test by itself
