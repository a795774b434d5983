"""Count the statements and the calls of SpiceDB that something costs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from teamaccess.engine import Engine
from tests.support.deployment import Deployment


class Work:
    """What a request cost: statements of PostgreSQL, and calls of SpiceDB with their questions."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.calls = 0
        self.questions = 0


@contextmanager
def counted(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    """Count what the block costs. A statement with many sets of values counts once."""
    work = Work()
    answers = Engine.answers

    def note(*arguments: Any) -> None:
        work.statements.append(arguments[2])

    async def ask(self: Engine, *arguments: Any, **more: Any) -> list[bool]:
        work.calls += 1
        work.questions += len(arguments[0])
        return await answers(self, *arguments, **more)

    engine = deployment.service.ledger.sessions.kw["bind"].sync_engine
    event.listen(engine, "before_cursor_execute", note)
    with monkeypatch.context() as patched:
        patched.setattr(Engine, "answers", ask)
        try:
            yield work
        finally:
            event.remove(engine, "before_cursor_execute", note)
