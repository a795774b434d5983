"""The progress of slow work: a bar on a terminal, and a few lines in a log."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

SECONDS_BETWEEN_LINES = 15


class Meter:
    """Counts steps towards a total, or without one if it is unknown.

    Without a terminal it prints one line at the end of work that took long. For `watched` work, such as
    a build of minutes whose log somebody follows, it prints a line every 15 seconds.
    """

    def __init__(
        self, title: str, unit: str, total: int | None = None, *, watched: bool = False
    ) -> None:
        self._console = Console(stderr=True)
        self._title, self._unit, self._total, self._watched = title, unit, total, watched
        self._done, self._began_at, self._printed_at = 0, time.monotonic(), time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(title, total=total, state="")

    def __enter__(self) -> Self:
        self._bar.start()
        if self._watched:
            self._print_line()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()
        if not self._watched and time.monotonic() - self._began_at > SECONDS_BETWEEN_LINES:
            self._print_line()

    def step(self, steps: int = 1) -> None:
        self._done += steps
        self._bar.update(self._task, completed=self._done, state=self._state)
        if self._watched and time.monotonic() - self._printed_at > SECONDS_BETWEEN_LINES:
            self._print_line()

    @property
    def _state(self) -> str:
        of = f" of {self._total}" if self._total else ""
        return f"{self._done}{of} {self._unit}"

    def _print_line(self) -> None:
        if self._console.is_terminal:
            return
        self._printed_at = time.monotonic()
        elapsed = int(self._printed_at - self._began_at)
        self._console.print(f"{self._title}: {self._state}, {elapsed} s", highlight=False)
