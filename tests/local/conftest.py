"""Stacks that are stopped and started again."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from teamaccess.local.stack import LocalStack

NewStack = Callable[[], LocalStack]


@pytest.fixture
def new_stack(home: Path) -> Iterator[NewStack]:
    """Starts a stack with PostgreSQL in the home, and stops the one before."""
    with ExitStack() as running:

        def start() -> LocalStack:
            running.close()
            stack = running.enter_context(LocalStack(home))
            stack.postgres.start()
            return stack

        yield start
