"""The moments of a change at which its process may die, and how a test chooses one.

The product has no code for this. `python -m tests.faults.run_with_crash_points` patches these points into
its classes, and then runs it.
"""

import json
import os
import re
import signal
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine as Database
from sqlalchemy.orm import Session

from teamaccess.changes import Ledger
from teamaccess.engine import Engine
from teamaccess.ledger.session import LedgerSession, recording_of

MARK = re.compile("UPDATE ledger_applications SET status=.* FROM unnest", re.DOTALL)


class CrashPoint(StrEnum):
    """A moment on a change's way, in order."""

    BEFORE_COMMIT = "before_commit"
    """Everything is flushed and in the ledger, in a transaction that is still open."""
    AFTER_COMMIT = "after_commit"
    BEFORE_WRITE = "before_write"
    """The write to SpiceDB is about to be sent."""
    AFTER_WRITE = "after_write"
    """SpiceDB has confirmed the write."""
    BEFORE_MARK = "before_mark"
    AFTER_MARK = "after_mark"
    """`ledger_applications` records that SpiceDB has it."""
    BEFORE_ANSWER = "before_answer"


class CrashPoints:
    """The crash points of one process, armed through a folder: each by a file of its name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def arm(self, point: CrashPoint, kill: signal.Signals, pid: int | None = None) -> None:
        """Send the signal when the next change passes the point, by default to the change's process."""
        self._folder.mkdir(parents=True, exist_ok=True)
        unfinished = self._folder / f".{point}"
        unfinished.write_text(json.dumps([kill, pid]))
        unfinished.rename(self._folder / point)

    def disarm(self) -> None:
        """Disarm every point."""
        for point in CrashPoint:
            (self._folder / point).unlink(missing_ok=True)

    def armed(self, point: CrashPoint) -> bool:
        """Whether nothing has passed the point yet."""
        return (self._folder / point).exists()

    def passing(self, point: CrashPoint) -> None:
        """Pass a point. If it is armed, the signal is sent now."""
        with suppress(FileNotFoundError):
            kill, pid = json.loads((self._folder / point).read_text())
            (self._folder / point).unlink()
            if pid is None:
                # sent to this thread, so that it does not take another step
                signal.pthread_kill(threading.get_ident(), signal.Signals(kill))
            else:
                os.kill(pid, signal.Signals(kill))

    def install(self) -> None:
        """Install the points into this process.

        Listeners that follow the drain must be added after it.
        """
        event.listen(
            LedgerSession, "before_commit", self._passing_entries(CrashPoint.BEFORE_COMMIT)
        )
        event.listen(LedgerSession, "after_commit", self._passing_entries(CrashPoint.AFTER_COMMIT))
        event.listen(Database, "before_cursor_execute", self._passing_marks(CrashPoint.BEFORE_MARK))
        event.listen(Database, "after_cursor_execute", self._passing_marks(CrashPoint.AFTER_MARK))
        Engine.write = self._around_writes(Engine.write)  # type: ignore[method-assign]
        Ledger.commit = self._after_commits(Ledger.commit)  # type: ignore[method-assign]

    def _passing_entries(self, point: CrashPoint) -> Callable[[Session], None]:
        def passing(session: Session) -> None:
            if recording_of(session).entries and not session.in_nested_transaction():
                self.passing(point)

        return passing

    def _passing_marks(self, point: CrashPoint) -> Callable[..., None]:
        def passing(connection: object, cursor: object, statement: str, *more: object) -> None:
            if MARK.match(statement):
                self.passing(point)

        return passing

    def _around_writes(self, write: Callable[..., Awaitable[str]]) -> Any:
        @wraps(write)
        async def watched(*arguments: Any, **more: Any) -> str:
            self.passing(CrashPoint.BEFORE_WRITE)
            token = await write(*arguments, **more)
            self.passing(CrashPoint.AFTER_WRITE)
            return token

        return watched

    def _after_commits(self, commit: Callable[..., Awaitable[Any]]) -> Any:
        @wraps(commit)
        async def watched(*arguments: Any, **more: Any) -> Any:
            receipts = await commit(*arguments, **more)
            self.passing(CrashPoint.BEFORE_ANSWER)
            return receipts

        return watched
