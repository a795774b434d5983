"""A public name that stands for two things is found."""

from pathlib import Path

import pytest

from checks.names import REPEATED, SOURCE, faults_in

USE_CASE = "async def remove_member() -> None: ...\n"
ROUTE = "async def remove_member() -> None: ...\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for folder in ("api/routes", "cli/commands", "directory", "audit"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "directory" / "members.py").write_text(USE_CASE)
    return tmp_path


def test_the_product_has_no_name_for_two_things() -> None:
    assert faults_in(SOURCE, REPEATED) == []


def test_a_route_and_a_command_may_be_called_as_their_use_case(source: Path) -> None:
    (source / "api/routes/members.py").write_text(ROUTE)
    (source / "cli/commands/members.py").write_text(ROUTE)
    assert faults_in(source, []) == []


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("audit/members.py", "class remove_member: ...\n"),
        ("audit/members.py", "def remove_member() -> None: ...\n"),
    ],
)
def test_a_name_for_two_things_is_found(source: Path, file: str, text: str) -> None:
    (source / file).write_text(text)
    [fault] = faults_in(source, [])
    assert fault.startswith(
        "remove_member is defined in audit/members.py:1, directory/members.py:1."
    )
    assert faults_in(source, ["remove_member"]) == []


def test_two_routes_with_one_name_are_found(source: Path) -> None:
    for name in ("members", "teams"):
        (source / f"api/routes/{name}.py").write_text(ROUTE)
    [fault] = faults_in(source, [])
    assert "api/routes/teams.py:1" in fault


@pytest.mark.parametrize(
    "text",
    [
        "def _remove_member() -> None: ...\n",
        "class Members:\n    def remove_member(self) -> None: ...\n",
        "remove_member = 1\n",
    ],
)
def test_private_names_methods_and_variables_may_repeat(source: Path, text: str) -> None:
    (source / "audit/members.py").write_text(text)
    assert faults_in(source, []) == []


def test_a_listed_name_that_is_not_repeated_is_found(source: Path) -> None:
    assert faults_in(source, ["remove_member"]) == [
        "remove_member is not repeated any more. Remove it from checks/names.py."
    ]
