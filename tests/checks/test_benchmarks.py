"""Benchmarks: what they print."""

import subprocess
import sys

FORK = """
import asyncio, subprocess
{imported}
from teamaccess.engine import Engine, EngineUnavailable

async def main():
    async with Engine("127.0.0.1:9", "key") as engine:
        asking = asyncio.create_task(engine.has_schema())
        await asyncio.sleep(0.1)
        for _ in range(3):
            subprocess.run(["true"], preexec_fn=lambda: None)
        try:
            await asking
        except EngineUnavailable:
            pass

asyncio.run(main())
"""


def test_a_benchmark_that_starts_a_process_prints_no_warning_of_grpc() -> None:
    imported = "import benchmarks, os; assert os.environ['GRPC_ENABLE_FORK_SUPPORT'] == 'false'"
    assert printed(FORK.format(imported=imported)) == ""
    assert printed(FORK.format(imported="import benchmarks")) == ""


def printed(program: str) -> str:
    """What a program prints on stderr."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stderr
