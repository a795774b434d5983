"""The wheel in an empty environment outside of the checkout, with each extra."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from teamaccess.cli.main import COMMANDS
from teamaccess.local.spicedb.binary import find_spicedb

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).parent / "uv"
"""Makes an environment in a second from its cache, where pip takes a minute."""
ASK_FOR_HELP = """
import contextlib, io, json, sys
from teamaccess.__main__ import run_command

helped = {}
for command in sys.argv[1:]:
    sys.argv, printed = ["teamaccess", command, "--help"], io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            run_command()
    except SystemExit as ended:
        assert not ended.code, command
    helped[command] = printed.getvalue()
print(json.dumps(helped))
"""
"""A program that prints as JSON what the commands in its arguments say about themselves."""
pytestmark = pytest.mark.slow


class Installation:
    """A virtual environment with the wheel."""

    def __init__(self, folder: Path, wheel: Path, extra: str) -> None:
        self.folder = folder
        environment = folder / "venv"
        _run_successfully(UV, "venv", "--quiet", "--python", sys.executable, environment)
        self._programs = environment / "bin"
        wanted = f"{wheel}[{extra}]" if extra else str(wheel)
        into = ("--python", self._programs / "python")
        _run_successfully(UV, "pip", "install", "--quiet", *into, "--only-binary", ":all:", wanted)

    def run(self, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run `teamaccess` outside of the checkout, without its settings."""
        return subprocess.run(
            [self._programs / "teamaccess", *words],
            cwd=self.folder,
            env=self.environment() | settings,
            capture_output=True,
            text=True,
            check=False,
        )

    def run_module(self, module: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run `python -m module` in a folder."""
        return subprocess.run(
            [self._programs / "python", "-m", module],
            cwd=folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    def ask_all_for_help(self, commands: Iterable[str]) -> dict[str, str]:
        """Return what `--help` says of each command, asked in one process: a start takes a second."""
        done = subprocess.run(
            [self._programs / "python", "-c", ASK_FOR_HELP, *sorted(commands)],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        helped: dict[str, str] = json.loads(done.stdout)
        return helped

    def remove(self, package: str) -> None:
        """Uninstall a package, as if it had never been installed."""
        _run_successfully(UV, "pip", "uninstall", "--python", self._programs / "python", package)

    def start(self, *words: str, **settings: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self._programs / "teamaccess", *words],
            cwd=self.folder,
            env=self.environment() | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @staticmethod
    def environment() -> dict[str, str]:
        ours = ("TEAMACCESS_", "PYTHON", "COV_")
        return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def _run_successfully(*command: str | Path) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable)
    _run_successfully(UV, "build", *options, "--out-dir", folder, ROOT)
    [built] = folder.glob("*.whl")
    return built


def _assert_names_extra(done: subprocess.CompletedProcess[str], extra: str) -> None:
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"pip install 'teamaccess[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_alone_the_command_names_the_extra_to_install(wheel: Path, tmp_path: Path) -> None:
    bare = Installation(tmp_path, wheel, "")
    for words in ([], ["--help"], ["--version"], ["serve"], ["dev"], ["schema", "validate"]):
        _assert_names_extra(bare.run(*words), "server")


def test_with_server_every_command_but_dev_works(wheel: Path, tmp_path: Path) -> None:
    server = Installation(tmp_path, wheel, "server")
    commands = COMMANDS.keys() - {"dev"}
    helped = server.ask_all_for_help(commands)
    assert {command for command, text in helped.items() if "Usage" in text} == commands
    assert server.run("--help").returncode == 0
    assert server.run("--version").stdout.startswith("teamaccess ")
    validated = server.run("schema", "validate", "fintoc")
    assert validated.returncode == 0, validated.stderr
    of_dev = server.run("dev", "--help")
    assert of_dev.returncode == 0
    assert "teamaccess[embedded]" in of_dev.stdout
    for words in (["dev"], ["dev", "--port", "0"], ["dev", "--fresh", "--json"]):
        _assert_names_extra(server.run(*words), "embedded")


def test_a_package_that_a_command_uses_later_is_named_too(wheel: Path, tmp_path: Path) -> None:
    """As after an update that left out a new dependency. `serve` imports the package when it starts."""
    server = Installation(tmp_path, wheel, "server")
    server.remove("confusable-homoglyphs")
    settings = {
        "TEAMACCESS_CATALOG": "fintoc",
        "TEAMACCESS_DATABASE_URL": "postgresql://teamaccess@127.0.0.1:9/teamaccess",
        "TEAMACCESS_SPICEDB_ENDPOINT": "127.0.0.1:9",
        "TEAMACCESS_SPICEDB_PRESHARED_KEY": "a key of the tests alone",
        "TEAMACCESS_SECRET_KEY": "a secret of the tests alone, long enough",
        "TEAMACCESS_MAIL": "off",
    }
    done = server.run("serve", "--port", "0", **settings)
    _assert_names_extra(done, "server")
    assert "confusable_homoglyphs" in done.stderr


def test_modules_that_run_without_the_command_name_what_to_install(
    wheel: Path, tmp_path: Path
) -> None:
    server = Installation(tmp_path, wheel, "server")
    for module, folder, remedy in (
        ("teamaccess.local.spicedb.build", tmp_path, "pip install 'teamaccess[embedded]'"),
        ("benchmarks", ROOT, "make bench"),
        ("docsite", ROOT, "make docs"),
    ):
        done = server.run_module(module, folder)
        assert done.returncode != 0
        assert remedy in done.stderr.splitlines()[-1], done.stderr


@pytest.fixture
def dev(wheel: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`teamaccess dev` of a wheel, while it starts. SpiceDB is the one of the tests."""
    embedded = Installation(tmp_path, wheel, "embedded")
    assert embedded.ask_all_for_help(COMMANDS).keys() == COMMANDS.keys()
    started = embedded.start(
        "dev",
        "--port",
        "0",
        "--spicedb-port",
        "0",
        "--json",
        TEAMACCESS_SPICEDB_BINARY=str(find_spicedb()),
    )
    yield started
    started.terminate()
    with suppress(subprocess.TimeoutExpired):
        started.communicate(timeout=30)


def test_with_embedded_everything_runs(dev: subprocess.Popen[str]) -> None:
    assert dev.stdout
    assert dev.stderr
    line = dev.stdout.readline()
    assert '"administrator"' in line, dev.stderr.read()
