"""How the log looks: for people or for programs, and never with what a request carried."""

import sys
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import structlog

from teamaccess.common.settings import Settings
from teamaccess.common.text import visible


def configure(settings: Settings) -> None:
    """Write the log as the settings say; tracebacks without the variables, which hold tokens."""
    render: list[Callable[..., Any]] = [
        structlog.dev.ConsoleRenderer(
            colors=sys.stdout.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    ]
    if settings.log_format == "json":
        render = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _visible,
            *render,
        ]
    )


def _visible(_logger: Any, _method: str, entry: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Leave nothing in the log that a terminal would act on: facts may be what a stranger sent."""
    return {name: visible(fact) if isinstance(fact, str) else fact for name, fact in entry.items()}


def keep_apart() -> None:
    """Write the log to stderr: what a command answers is on stdout, and may be read by a program."""
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
