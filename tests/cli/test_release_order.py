"""Commands of a release whose catalog is not in force yet, and of one whose catalog no longer is."""

import json
from pathlib import Path

import pytest

from teamaccess.catalog import find_catalog_file
from tests.cli.test_plan import REFUNDS
from tests.support.command_line import Run
from tests.support.deployment import Deployment


@pytest.fixture
def run_here(run: Run, isolated: Deployment, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs commands on a deployment of the test's own, whose schema may change."""
    settings = isolated.settings
    for name, value in {
        "DATABASE_URL": settings.database_url,
        "OWNER_DATABASE_URL": isolated.owner_url,
        "SPICEDB_ENDPOINT": settings.spicedb_endpoint,
        "SPICEDB_PRESHARED_KEY": settings.spicedb_preshared_key.get_secret_value(),
    }.items():
        monkeypatch.setenv(f"TEAMACCESS_{name}", value)
    return run


@pytest.fixture
def next_catalog(tmp_path: Path) -> str:
    """Fintoc's catalog in the next release, in which Support may not refund."""
    file = tmp_path / "fintoc.yaml"
    text = find_catalog_file("fintoc").read_text()
    file.write_text(text.replace(REFUNDS, REFUNDS.replace("operations, support", "operations")))
    return str(file)


async def test_the_next_release_plans_its_own_catalog_before_it_is_applied(
    run_here: Run, isolated: Deployment, next_catalog: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = await isolated.create_organization("acme")
    bob = (await acme.add_members({"bob": ["support"]}))["bob"]
    monkeypatch.setenv("TEAMACCESS_CATALOG", next_catalog)
    planned = await run_here("schema", "plan", "--json")
    assert planned.exit_code == 1, planned.output
    plan, compared = [json.loads(line) for line in planned.stdout.splitlines()]
    assert [each["user"] for each in plan["items"]] == [bob.id]
    assert compared["catalog"] != compared["instead_of"]
    assert (await run_here("schema", "apply")).exit_code == 0
    again = await run_here("schema", "plan", "--json")
    assert again.exit_code == 0, again.output


async def test_the_old_release_is_not_advised_to_apply_its_catalog_again(
    run_here: Run, isolated: Deployment, next_catalog: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That would take the new release's schema back."""
    acme = await isolated.create_organization("acme")
    monkeypatch.setenv("TEAMACCESS_CATALOG", next_catalog)
    assert (await run_here("schema", "apply")).exit_code == 0
    monkeypatch.setenv("TEAMACCESS_CATALOG", "fintoc")
    asked = await run_here("audit", "who-can", acme.id, "refunds_create")
    assert asked.exit_code == 2
    assert "Otherwise replace this process" in asked.stderr
