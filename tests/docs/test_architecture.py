"""The architecture page shows the packages of today, and the layout keeps its limits."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType

import pytest

import teamaccess
from tests.support.organization import Organization

ROOT = Path(teamaccess.__file__).parent
PAGE = Path(__file__).parents[2] / "docs/explanation/architecture.md"
MOST_PACKAGES = 18
MOST_IN_A_PACKAGE = 12
MOST_FILES_OF_A_ROLE_CHANGE = 22


def packages() -> list[Path]:
    """Return every package of the product except migrations, which have a file each."""
    found = [init.parent for init in ROOT.rglob("__init__.py")]
    return [package for package in found if "migrations" not in package.parts]


def test_the_page_lists_every_package() -> None:
    listed = PAGE.read_text().split("```text\nsrc/teamaccess/\n")[1].split("```")[0]
    names = {line.split()[0].rstrip("/") for line in listed.splitlines()}
    assert names == {package.name for package in packages() if package.parent == ROOT}
    assert len(names) <= MOST_PACKAGES


@pytest.mark.parametrize("package", packages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_package_has_few_modules(package: Path) -> None:
    modules = [path for path in package.glob("*.py") if path.name != "__init__.py"]
    inside = [*modules, *(path.parent for path in package.glob("*/__init__.py"))]
    most = MOST_PACKAGES if package == ROOT else MOST_IN_A_PACKAGE
    assert len(inside) <= most, sorted(path.name for path in inside)


async def test_a_role_change_crosses_few_files(acme: Organization) -> None:
    bob = await acme.member("bob", roles=["support"])
    for roles in ("developer", "support"):  # a first change also fills caches
        await acme.change_roles(bob, roles)
    with crossed_files(from_call="change_member_roles", to_return_of="confirm") as files:
        changed = await acme.change_roles(bob, "developer")
    assert changed.status_code == 200
    assert len(files) <= MOST_FILES_OF_A_ROLE_CHANGE, "\n".join(files)
    listed = PAGE.read_text().split("```text\napi/requests/edge.py")[1].split("```")[0]
    assert ["api/requests/edge.py", *re.findall(r"^(\S+\.py) ", listed, re.MULTILINE)] == files


@contextmanager
def crossed_files(*, from_call: str, to_return_of: str) -> Iterator[list[str]]:
    """List the files of the product that its own calls enter, from one call to the return of another.

    The edge's file counts too: it called the route's function, and commits when that has returned.
    """
    files = ["api/requests/edge.py"]
    running = False
    outer: list[FrameType] = []

    def follow(frame: FrameType, event: str, _: object) -> None:
        nonlocal running
        if not (file := _own(frame.f_code)):
            return
        if event == "call" and not running:
            outer.append(frame)
            running = frame.f_code.co_name == from_call
        if running and event == "call" and frame not in outer[:-1]:
            caller = frame.f_back
            if file not in files and caller is not None and _own(caller.f_code):
                files.append(file)
        if running and event == "return" and frame.f_code.co_name == to_return_of:
            running = False
            sys.setprofile(None)

    sys.setprofile(follow)
    try:
        yield files
    finally:
        sys.setprofile(None)


def _own(code: CodeType) -> str:
    """Return the file's path in the product, nothing for code of others."""
    path = Path(code.co_filename)
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else ""
