"""`teamaccess dev` as a person starts it, in a process of its own."""

import json
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

COMMAND = (sys.executable, "-m", "teamaccess", "dev", "--port", "0", "--spicedb-port", "0")


@dataclass
class Dev:
    """A running `teamaccess dev --json`."""

    process: subprocess.Popen[bytes]
    told: dict[str, Any]

    @property
    def children(self) -> list[psutil.Process]:
        return [psutil.Process(pid) for pid in self.told["pids"].values()]

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Ask the API as the demo administrator."""
        headers = {"Authorization": f"Bearer {self.told['administrator']['token']}"}
        answer = httpx.request(method, self.told["api"] + path, json=body, headers=headers)
        return answer.raise_for_status().json()


StartDev = Callable[..., Dev]


@pytest.fixture
def start_dev(home: Path) -> Iterator[StartDev]:
    """Starts it in the home, with more options; what still runs is ended at last."""
    with ExitStack() as started:

        def start(*options: str) -> Dev:
            command: list[str | Path] = [*COMMAND, "--json", "--home", home, *options]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            started.enter_context(process)
            started.callback(process.terminate)
            return Dev(process, json.loads(process.stdout.readline() if process.stdout else ""))

        yield start


def refusal(*options: str | Path) -> str:
    """What it says when it does not start."""
    ended = subprocess.run([*COMMAND, *options], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    return ended.stderr


def test_dev_json_says_where_everything_is_to_nobody_else(start_dev: StartDev, home: Path) -> None:
    dev = start_dev()
    assert json.loads((home / "dev.json").read_text()) == dev.told
    assert stat.S_IMODE((home / "dev.json").stat().st_mode) == 0o600
    assert {child.name() for child in dev.children} >= {"postgres", "spicedb"}
    assert "users_invite" in dev.ask("GET", "/v1/organizations/acme/permissions")["actions"]


def test_what_people_did_and_their_tokens_survive_a_kill_of_everything(start_dev: StartDev) -> None:
    before = start_dev()
    invited = before.ask(
        "POST",
        "/v1/organizations/acme/invitations",
        {"email": "bob@acme.example", "roles": ["support"]},
    )
    before.process.kill()
    for child in before.children:
        child.kill()
    after = start_dev()
    after.told["administrator"] = before.told["administrator"]
    pending = after.ask("GET", "/v1/organizations/acme/invitations?status=pending")
    assert [each["id"] for each in pending["items"]] == [invited["id"]]


def test_the_death_of_a_part_is_told_and_ends_the_rest(start_dev: StartDev, home: Path) -> None:
    dev = start_dev()
    psutil.Process(dev.told["pids"]["api"]).kill()
    assert dev.process.wait(30) == 1
    assert dev.process.stderr
    assert dev.process.stderr.read().startswith(b"api died (killed by SIGKILL).")
    assert not (home / "dev.json").exists()


def test_a_home_keeps_its_catalog(start_dev: StartDev, home: Path) -> None:
    dev = start_dev("--catalog", "finicom")
    assert dev.told["catalog"] == "finicom"
    assert "members_invite" in dev.ask("GET", "/v1/organizations/acme/permissions")["actions"]
    dev.process.terminate()
    dev.process.wait(30)
    assert "keeps data of the catalog finicom" in refusal("--home", home, "--catalog", "fintoc")
    assert start_dev().told["catalog"] == "finicom"


def test_a_catalog_that_does_not_exist_is_refused_with_those_that_do(home: Path) -> None:
    assert "known are finicom, fintoc" in refusal("--home", home, "--catalog", "nope")
