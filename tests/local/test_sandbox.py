"""The sandbox server never frees memory, so it is restarted when it is too large."""

import os
import sys
import time
from pathlib import Path

from teamaccess.local.stack import LocalStack
from tests.local.conftest import NewStack

HUNGRY = """
import sys, time
open(sys.argv[1], "a").write("begun\\n")
kept = bytearray(80_000_000)
time.sleep(600)
"""


def test_a_child_that_uses_too_much_memory_is_restarted(
    new_stack: NewStack, tmp_path: Path
) -> None:
    stack, reported = new_stack(), tmp_path / "reported"
    child = stack.supervisor.start(
        "hungry",
        [sys.executable, "-c", HUNGRY, str(reported)],
        environment={"PATH": os.environ["PATH"]},
        max_memory=60_000_000,
    )
    first, deadline = child.pid, time.monotonic() + 30
    while child.pid == first and time.monotonic() < deadline:
        child.restart_if_too_large()
        time.sleep(0.05)
    assert child.pid != first
    while reported.read_text().count("begun") < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    child.ensure_running()


def test_a_small_child_keeps_running(stack: LocalStack) -> None:
    server = stack.start_sandbox()
    before = server.pid
    server._child.restart_if_too_large()
    assert server.pid == before
