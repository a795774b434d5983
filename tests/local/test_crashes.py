"""After kill -9 of any process, the next start ends the processes that are left and has all data."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from teamaccess.local.errors import ProgramDied
from teamaccess.local.processes import end_remembered, is_running, remember
from teamaccess.local.stack import LocalStack
from tests.local.conftest import NewStack

SUPERVISOR = """
import signal
import sys
from pathlib import Path
from teamaccess.local.stack import LocalStack

# tests that run in the background may have inherited that these signals are ignored
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

with LocalStack(Path(sys.argv[1])) as stack, stack.supervisor.stopping_on_signals():
    stack.postgres.start()
    stack.postgres.psql("CREATE TABLE kept AS SELECT 42 AS answer")
    stack.start_spicedb()
    print("up", flush=True)
    stack.supervisor.watch()
"""


@contextmanager
def supervisor_in(home: Path) -> Iterator[psutil.Popen]:
    """A running stack in a process of its own."""
    with psutil.Popen(
        [sys.executable, "-c", SUPERVISOR, home], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "up\n"
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


@contextmanager
def bystander() -> Iterator[psutil.Popen]:
    """A process that is not ours."""
    with psutil.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def test_the_next_start_ends_everything_that_a_killed_supervisor_left(home: Path) -> None:
    with supervisor_in(home) as supervisor:
        left = supervisor.children()
        assert sorted(child.name() for child in left) == ["postgres", "spicedb"]
        supervisor.kill()
    assert all(is_running(child) for child in left)
    with LocalStack(home) as stack:
        stack.postgres.start()
        assert not any(is_running(child) for child in left)
        assert stack.postgres.psql("SELECT answer FROM kept") == "42\n"


def test_data_survives_the_kill_of_the_server_in_the_middle_of_work(new_stack: NewStack) -> None:
    before = new_stack()
    before.postgres.psql("CREATE TABLE kept AS SELECT 42 AS answer")
    backends = psutil.Process(before.postgres.pid).children()
    psutil.Process(before.postgres.pid).kill()
    after = new_stack()
    assert after.postgres.psql("SELECT answer FROM kept") == "42\n"
    assert not any(is_running(backend) for backend in backends)


@pytest.mark.parametrize("program", ["postgres", "spicedb"])
def test_a_child_that_dies_is_reported_and_stops_the_rest(home: Path, program: str) -> None:
    with supervisor_in(home) as supervisor:
        children = supervisor.children()
        next(child for child in children if child.name() == program).kill()
        assert supervisor.wait(30) == 1
    assert not any(is_running(child) for child in children)


def test_a_dead_child_is_reported_with_the_end_of_its_log(new_stack: NewStack) -> None:
    stack = new_stack()
    psutil.Process(stack.postgres.pid).kill()
    with pytest.raises(ProgramDied) as death:
        stack.supervisor.watch()
    first, *last_lines = str(death.value).splitlines()
    assert first.startswith(
        "postgres ended (killed by SIGKILL). Start the stack again: all data is kept. The"
    )
    assert sum("ready to accept connections" in line for line in last_lines) == 1


def test_the_reported_log_is_of_this_start(new_stack: NewStack) -> None:
    logs = new_stack().home.logs
    (logs / "quick.log").write_text("printed by an earlier program\n")
    for command, printed in ((["true"], "(it printed nothing)"), (["echo", "now"], "now")):
        stack = new_stack()
        child = stack.supervisor.start("quick", command, environment={"PATH": os.environ["PATH"]})
        with pytest.raises(ProgramDied) as death:
            stack.supervisor.wait_until(child, lambda: False, seconds=10)
        assert str(death.value).splitlines()[1:] == [f"  {printed}"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_every_child(home: Path, number: signal.Signals) -> None:
    with supervisor_in(home) as supervisor:
        children = supervisor.children()
        supervisor.send_signal(number)
        assert supervisor.wait(30) == 0
    assert not any(is_running(child) for child in children)


def test_an_unrelated_process_with_the_id_of_an_old_child_is_not_ended(tmp_path: Path) -> None:
    note = tmp_path / "spicedb.json"
    with bystander() as process:
        remember(note, process.pid, signal.SIGTERM)
        note.write_text(note.read_text().replace('"started": ', '"started": 1'))
        end_remembered(note)
        assert is_running(process)
    assert not note.exists()


def test_a_stale_lock_with_the_id_of_another_process_does_not_prevent_a_start(
    new_stack: NewStack,
) -> None:
    before = new_stack()
    data = before.home.postgres.resolve() / "data"
    lock = (data / "postmaster.pid").read_text()
    before.__exit__(None, None, None)
    with bystander() as process:
        (data / "postmaster.pid").write_text(lock.replace(lock.split()[0], str(process.pid), 1))
        assert new_stack().postgres.psql("SELECT 1") == "1\n"
        assert is_running(process)


def test_a_server_whose_home_was_removed_is_ended(new_stack: NewStack, home: Path) -> None:
    before = new_stack()
    orphan = psutil.Process(before.postgres.pid)
    before.home.erase()
    shutil.rmtree(home)
    with LocalStack(home) as after:
        after.postgres.start()
        assert not is_running(orphan)
