"""`teamaccess dev` runs everything, prints the addresses, and loses nothing."""

import json
import stat
from pathlib import Path

import psutil
import pytest

from teamaccess.__main__ import QUIET
from tests.local.dev_process import StartDev, refusal


def test_dev_json_lists_all_addresses_and_only_its_owner_reads_it(
    start_dev: StartDev, home: Path
) -> None:
    dev = start_dev()
    assert json.loads((home / "dev.json").read_text()) == dev.reported
    assert stat.S_IMODE((home / "dev.json").stat().st_mode) == 0o600
    assert {child.name() for child in dev.children} >= {"postgres", "spicedb"}
    assert "users_invite" in dev.ask("GET", "/v1/organizations/acme/permissions")["actions"]


def test_nothing_of_a_library_is_printed_from_the_start_to_the_end(
    start_dev: StartDev, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in QUIET:
        monkeypatch.delenv(name, raising=False)  # which the tests set for themselves
    dev = start_dev()
    assert "users_invite" in dev.ask("GET", "/v1/organizations/acme/permissions")["actions"]
    assert dev.stop() == 0
    assert dev.rest_of_errors() == ""


PROXIES = ("http_proxy", "HTTPS_PROXY", "ALL_PROXY", "grpc_proxy")
ANOTHER_POSTGRESQL = {
    "PGSSLMODE": "verify-full",
    "PGSERVICE": "nowhere",
    "PGTARGETSESSIONATTRS": "standby",
    "PGOPTIONS": "-c default_transaction_read_only=on",
    "PGHOST": "/nowhere",
    "PGPORT": "9",
}


def test_proxies_in_the_environment_are_not_asked_for_this_machine(
    start_dev: StartDev, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing listens at the proxies' address, so each request to one of them would fail."""
    for each in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(each, raising=False)
    for name in PROXIES:
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    dev = start_dev()
    with monkeypatch.context() as ours:
        for name in PROXIES:
            ours.delenv(name)  # the test's own client would use it
        assert "users_invite" in dev.ask("GET", "/v1/organizations/acme/permissions")["actions"]


def test_settings_of_another_postgresql_in_the_environment_do_not_matter(
    start_dev: StartDev, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`dev` removes them, because each would end it or SpiceDB with an unclear error."""
    for name, value in ANOTHER_POSTGRESQL.items():
        monkeypatch.setenv(name, value)
    dev = start_dev()
    assert "users_invite" in dev.ask("GET", "/v1/organizations/acme/permissions")["actions"]


def test_data_and_tokens_survive_a_kill_of_all_processes(start_dev: StartDev) -> None:
    before = start_dev()
    invited = before.ask(
        "POST",
        "/v1/organizations/acme/invitations",
        {"email": "bob@acme.example", "roles": ["support"]},
    )
    children = before.children
    before.process.kill()
    for child in children:
        child.kill()
    after = start_dev()
    after.reported["administrator"] = before.reported["administrator"]
    pending = after.ask("GET", "/v1/organizations/acme/invitations?status=pending")
    assert [each["id"] for each in pending["items"]] == [invited["id"]]


def test_the_death_of_one_process_is_reported_and_ends_the_rest(
    start_dev: StartDev, home: Path
) -> None:
    dev = start_dev()
    psutil.Process(dev.reported["pids"]["api"]).kill()
    assert dev.process.wait(30) == 2
    detail: str = json.loads(dev.rest_of_errors())["detail"]
    assert detail.startswith(
        "api ended (killed by SIGKILL). Start the stack again: all data is kept."
    )
    logs = [log.read_text() for log in (home / "logs").glob("*.log")]
    assert "\x1b[" not in "".join([detail, *logs])
    assert any("worker_started" in log for log in logs)
    assert not (home / "dev.json").exists()


def test_a_home_keeps_its_catalog(start_dev: StartDev, home: Path) -> None:
    dev = start_dev("--catalog", "finicom")
    assert dev.reported["catalog"] == "finicom"
    assert "members_invite" in dev.ask("GET", "/v1/organizations/acme/permissions")["actions"]
    assert dev.stop() == 0
    assert "has data of the catalog finicom" in refusal("--home", home, "--catalog", "fintoc")
    assert start_dev().reported["catalog"] == "finicom"


def test_an_unknown_catalog_is_refused_with_the_known_ones(home: Path) -> None:
    assert "known are finicom, fintoc" in refusal("--home", home, "--catalog", "nope")
