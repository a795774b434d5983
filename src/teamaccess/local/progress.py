"""How far slow work is: a bar on a terminal, a line now and then in a log."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

SECONDS_BETWEEN_LINES = 15


class Meter:
    """Counts steps towards a total, or only upwards where nobody knows the total."""

    def __init__(self, title: str, unit: str, total: int | None = None) -> None:
        self._console = Console(stderr=True)
        self._title, self._unit, self._total = title, unit, total
        self._done, self._began, self._told = 0, time.monotonic(), time.monotonic()
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
        if not self._console.is_terminal:
            self._tell()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def step(self, by: int = 1) -> None:
        self._done += by
        self._bar.update(self._task, completed=self._done, state=self._state)
        if not self._console.is_terminal and self._seconds_silent > SECONDS_BETWEEN_LINES:
            self._tell()

    @property
    def _state(self) -> str:
        of = f" of {self._total}" if self._total else ""
        return f"{self._done}{of} {self._unit}"

    @property
    def _seconds_silent(self) -> float:
        return time.monotonic() - self._told

    def _tell(self) -> None:
        self._told = time.monotonic()
        elapsed = int(self._told - self._began)
        self._console.print(f"{self._title}: {self._state}, {elapsed} s", highlight=False)
