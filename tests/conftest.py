"""The real parts, one of each for a whole run, each started when a test first asks for it."""

import os

from teamaccess.__main__ import QUIET

# gRPC looks at these when it is imported. Its own handling of a fork crashes the child now and then, and
# its lines come between those of `make soak`.
for variable, value in QUIET.items():
    os.environ.setdefault(variable, value)

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TypeVar

import pytest
import structlog
from hypothesis import HealthCheck, settings

from teamaccess.local.postgres.server import LocalPostgres
from teamaccess.local.sandbox import LocalSandbox
from teamaccess.local.spicedb.server import LocalSpiceDB
from teamaccess.local.stack import LocalStack
from tests.local.dev_process import Dev, StartDev

pytest_plugins = [
    "tests.support.catalogs",
    "tests.support.command_line",
    "tests.support.database_connections",
    "tests.support.fixtures",
    "tests.support.http_server",
    "tests.support.isolated_deployments",
    "tests.support.issuer_server",
    "tests.support.nameless_user",
    "tests.oidc.fixtures",
]
"""Every fixture that more than one folder uses comes from one of these."""

# The tests measure no time; in CI hypothesis has a profile of its own that does not either.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
if "CI" not in os.environ:
    settings.load_profile("unhurried")

SpiceDBFor = Callable[[str], LocalSpiceDB]
Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """An empty home. Its servers run until the last test is done."""
    with LocalStack(tmp_path_factory.mktemp("stack")) as stack:
        yield stack
        stack.supervisor.stop()
        stack.home.erase()


@pytest.fixture(scope="session")
def postgres(stack: LocalStack) -> LocalPostgres:
    """PostgreSQL with our roles and empty databases."""
    stack.postgres.start()
    return stack.postgres


@pytest.fixture(scope="session")
def spicedb_for(stack: LocalStack, postgres: LocalPostgres) -> SpiceDBFor:
    """The SpiceDB that serves a catalog (a name or a path), on a database of its own."""

    @cache
    def started(catalog: str) -> LocalSpiceDB:
        return stack.start_spicedb(database=f"spicedb_{Path(catalog).stem}")

    return started


@pytest.fixture(scope="session")
def sandbox(stack: LocalStack) -> LocalSandbox:
    """The server of the sandboxes."""
    return stack.start_sandbox()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A folder for a stack of the test's own, which leaves nothing behind."""
    home = tmp_path / "home"
    yield home
    with LocalStack(home, fresh=True):
        pass


@pytest.fixture
def start_dev(home: Path) -> Iterator[StartDev]:
    """Starts `teamaccess dev` in the home, and ends it after the test."""
    with ExitStack() as started:

        def start(*options: str) -> Dev:
            dev = Dev.start("--home", home, *options)
            started.enter_context(dev.process)
            started.callback(dev.process.terminate)
            return dev

        yield start


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """Restore the log's configuration, which a command changes for the whole process."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _without_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _without_skip((yield))


def _without_skip(report: Report) -> Report:
    """Where TEAMACCESS_NO_SKIPS is set a test that did not run counts as one that failed."""
    if "TEAMACCESS_NO_SKIPS" in os.environ and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
    return report
