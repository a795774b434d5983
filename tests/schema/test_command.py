"""`teamaccess schema compile` and `teamaccess schema validate`."""

import json
from pathlib import Path
from shutil import copy

import pytest
from typer.testing import CliRunner, Result

from teamaccess.catalog import load_catalog
from teamaccess.cli.commands.schema import app

CATALOGS = Path(__file__).parents[1] / "catalog"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a right and a wrong catalog."""
    (tmp_path / "catalogs").mkdir()
    copy(CATALOGS / "small.yaml", tmp_path / "catalogs")
    copy(CATALOGS / "wrong.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def schema(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_compile_writes_the_schema_next_to_the_folder_of_catalogs(folder: Path) -> None:
    version = load_catalog("catalogs/small.yaml").version
    first = schema("compile", "--catalog", "catalogs/small.yaml")
    assert (first.exit_code, first.stdout) == (0, f"small.zed: written ({version})\n")
    assert (folder / "small.zed").read_text() == load_catalog("catalogs/small.yaml").schema()
    assert schema("compile", "--catalog", "catalogs/small.yaml").stdout == (
        f"small.zed: current ({version})\n"
    )


def test_check_writes_nothing_and_fails_with_the_difference(folder: Path) -> None:
    schema("compile", "--catalog", "catalogs/small.yaml")
    stale = (folder / "small.zed").read_text().replace("owner + clerk", "clerk + owner")
    (folder / "small.zed").write_text(stale)
    check = schema("compile", "--catalog", "catalogs/small.yaml", "--check")
    assert check.exit_code == 1
    assert "-  permission payments_view = (clerk + owner + granted_payments_view)" in check.stdout
    assert "+  permission payments_view = (owner + clerk + granted_payments_view)" in check.stdout
    assert (folder / "small.zed").read_text() == stale


def test_check_reports_a_missing_schema(folder: Path) -> None:
    assert schema("compile", "--catalog", "catalogs/small.yaml", "--check").exit_code == 1
    assert not (folder / "small.zed").exists()


def test_a_catalog_with_mistakes_compiles_to_nothing(folder: Path) -> None:
    outcome = schema("compile", "--catalog", "wrong.yaml")
    assert outcome.exit_code == 1
    assert outcome.stdout.startswith("wrong.yaml:3: roles.qa: qa makes the name 'qa'")
    assert not (folder / "wrong.zed").exists()


def test_the_committed_schemas_are_current() -> None:
    check = schema("compile", "--check", "--json")
    assert check.exit_code == 0, check.stdout
    outcomes = json.loads(check.stdout)["catalogs"]
    assert [Path(outcome["schema"]).name for outcome in outcomes] == ["finicom.zed", "fintoc.zed"]
    assert {outcome["status"] for outcome in outcomes} == {"current"}


def test_validate_lists_every_mistake_of_every_file() -> None:
    outcome = schema("validate", "wrong.yaml", "catalogs/small.yaml")
    assert outcome.exit_code == 1
    *mistakes, last = outcome.stdout.splitlines()
    assert mistakes[1].startswith("wrong.yaml:4: roles.owner: `granted_by` must be one of")
    assert last.startswith("catalogs/small.yaml: valid (small-")


def test_validate_checks_the_delivered_catalogs_by_default() -> None:
    outcome = schema("validate")
    assert outcome.exit_code == 0
    assert len(outcome.stdout.splitlines()) == 2


def test_validate_answers_in_json() -> None:
    [line] = schema("validate", "wrong.yaml", "--json").stdout.splitlines()
    [outcome] = json.loads(line)["catalogs"]
    assert outcome["status"] == "invalid"
    assert outcome["mistakes"][0]["line"] == 3
    assert outcome["mistakes"][0]["message"].startswith("roles.qa: ")


@pytest.mark.parametrize("name", ["atlantis", "none.yaml", "./catalogs"])
def test_a_missing_catalog_is_a_usage_error(name: str) -> None:
    assert schema("validate", name).exit_code == 2
