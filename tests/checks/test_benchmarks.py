"""Benchmarks and long tests: what they print."""

import json
import os
import subprocess
import sys

import pytest

from teamaccess.__main__ import QUIET

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

REFUSED_HANDSHAKE = """
import asyncio
{imported}
import grpc

async def main():
    async def answer(reader, writer):
        await reader.read(100)
        writer.write(b"this is not TLS")
        await reader.read()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with grpc.aio.secure_channel(f"127.0.0.1:{{port}}", grpc.ssl_channel_credentials()) as channel:
        try:
            await channel.unary_unary("/a.B/C")(b"", timeout=2)
        except grpc.aio.AioRpcError:
            pass

asyncio.run(main())
"""

TINY_BENCHMARK = """
import typer
from benchmarks import __main__ as benchmarks
from benchmarks.support.report import Table

async def measure(environment):
    return [Table("Tiny", [{"port": environment.port}])]

benchmarks.BENCHMARKS["tiny"] = measure
typer.run(benchmarks.main)
"""


@pytest.mark.parametrize("program", [FORK, REFUSED_HANDSHAKE])
@pytest.mark.parametrize("imported", ["import benchmarks", "import tests.conftest"])
def test_grpc_prints_nothing_between_the_lines_of_a_benchmark_or_of_a_long_test(
    program: str, imported: str
) -> None:
    """`make soak` shows what pytest's process prints."""
    assert run_alone("-c", program.format(imported=imported)).stderr == ""


def test_a_variable_that_is_set_brings_the_lines_of_grpc_back() -> None:
    program = REFUSED_HANDSHAKE.format(imported="import benchmarks")
    assert "ssl_transport_security" in run_alone("-c", program, GRPC_VERBOSITY="INFO").stderr


def test_a_benchmark_prints_nothing_but_its_json() -> None:
    done = run_alone("-c", TINY_BENCHMARK, "tiny", "--json")
    assert done.stderr == ""
    [[title, rows]] = json.loads(done.stdout).items()
    assert (title, list(rows[0])) == ("Tiny", ["port"])


def test_a_short_storm_prints_its_figures_and_nothing_of_a_library() -> None:
    """What `make soak` runs."""
    done = run_alone("-m", "pytest", "-q", "-s", "tests/faults/test_storm.py", TEAMACCESS_STORM="5")
    assert done.stderr == ""
    assert "TEAMACCESS_SEED=" in done.stdout
    assert "1 passed" in done.stdout


def run_alone(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process whose environment says nothing about gRPC."""
    inherited = {name: os.environ[name] for name in os.environ if name not in QUIET}
    return subprocess.run(
        [sys.executable, *words],
        env=inherited | variables,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
