"""`teamaccess dev` in a process of its own, as a person starts it."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

COMMAND = (sys.executable, "-m", "teamaccess", "dev", "--port", "0", "--spicedb-port", "0")


@dataclass
class Dev:
    """A running stack, and the JSON that it printed."""

    process: subprocess.Popen[str]
    reported: dict[str, Any]

    @classmethod
    def start(cls, *options: str | Path) -> "Dev":
        """Start it and wait until it runs."""
        command: list[str | Path] = [*COMMAND, "--json", *options]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout
        assert process.stderr
        line = process.stdout.readline()
        assert line, process.stderr.read()
        return cls(process, json.loads(line))

    @property
    def children(self) -> list[psutil.Process]:
        return [psutil.Process(pid) for pid in self.reported["pids"].values()]

    def stop(self) -> int:
        """End it as a person does; returns its exit code."""
        self.process.terminate()
        return self.process.wait(30)

    def rest_of_errors(self) -> str:
        """The rest of its error output."""
        assert self.process.stderr
        return self.process.stderr.read()

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Ask the API as the demo administrator."""
        headers = {"Authorization": f"Bearer {self.reported['administrator']['token']}"}
        answer = httpx.request(method, self.reported["api"] + path, json=body, headers=headers)
        return answer.raise_for_status().json()


StartDev = Callable[..., Dev]
"""Starts one in the test's home, with more options."""


def refusal(*options: str | Path) -> str:
    """The one line that it prints if it does not start."""
    ended = subprocess.run([*COMMAND, *options], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    return ended.stderr
