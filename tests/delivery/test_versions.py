"""The versions of PostgreSQL and SpiceDB that run, judged by the oldest ones that are supported."""

from pathlib import Path

import pytest

from teamaccess.delivery import versions
from teamaccess.delivery.versions import (
    OLDEST_POSTGRESQL,
    OLDEST_SPICEDB,
    RunningVersion,
    postgresql_version,
    spicedb_version,
)
from teamaccess.local.spicedb.binary import pinned_version
from tests.support.deployment import Deployment
from tests.support.spicedb_proxy import another_process

INSTALL = Path(__file__).parents[2] / "docs" / "how-to" / "install-and-upgrade.md"


@pytest.mark.parametrize(
    ("oldest", "running", "supported"),
    [
        ("1.57.1", "1.57.1", True),
        ("1.57.1", "1.57.0", False),
        ("1.57.1", "1.9.9", False),
        ("1.57.1", "1.100.0", True),
        ("1.57.1", "2.0", True),
        ("18", "17.6", False),
        ("18", "18.1", True),
        ("18", "19beta2", True),
        ("1.57.1", None, None),
    ],
)
def test_a_version_is_supported_if_it_is_not_older(
    oldest: str, running: str | None, supported: bool | None
) -> None:
    assert RunningVersion(oldest, running).supported is supported


async def test_both_servers_tell_their_versions(fintoc: Deployment) -> None:
    spicedb = await spicedb_version(fintoc.service.engine)
    async with fintoc.service.reads() as session:
        postgresql = await postgresql_version(session)
    assert spicedb.running == pinned_version().removeprefix("v")
    assert (spicedb.supported, postgresql.supported) == (True, True)


async def test_readyz_judges_the_versions_and_shows_them_to_operators_alone(
    fintoc: Deployment,
) -> None:
    operator = await fintoc.operator_person()
    anonymous = (await fintoc.http.get("/readyz")).json()["versions"]
    shown = (await operator.ask("GET", "/readyz")).json()["versions"]
    assert anonymous["spicedb"] == {
        "oldest": OLDEST_SPICEDB,
        "running": None,
        "supported": True,
    }
    assert {each["oldest"] for each in shown.values()} == {OLDEST_SPICEDB, OLDEST_POSTGRESQL}
    assert shown["spicedb"]["running"] == pinned_version().removeprefix("v")
    assert shown["postgresql"]["running"].startswith("18.")
    assert anonymous["postgresql"]["running"] is None


@pytest.mark.parametrize("server", ["spicedb", "postgresql"])
async def test_a_server_that_is_too_old_is_shown_and_leaves_the_process_ready(
    fintoc: Deployment, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    monkeypatch.setattr(versions, f"OLDEST_{server.upper()}", "99.0")
    async with another_process(fintoc) as second:  # with a cached version of its own
        operator = await second.operator_person()
        answer = await operator.ask("GET", "/readyz")
    assert answer.status_code == 200
    shown = answer.json()["versions"]
    assert {each: shown[each]["supported"] for each in shown} == {
        "spicedb": server != "spicedb",
        "postgresql": server != "postgresql",
    }


def test_the_documentation_names_the_oldest_supported_versions() -> None:
    page = INSTALL.read_text(encoding="utf-8")
    assert f"PostgreSQL {OLDEST_POSTGRESQL} or newer" in page
    assert f"SpiceDB {OLDEST_SPICEDB} or newer" in page
