"""The log, for people or for programs. It never contains the data of a request."""

import sys
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import structlog

from teamaccess.common.configuration.settings import Settings
from teamaccess.common.text import escape_controls


def configure(settings: Settings) -> None:
    """Write the log as the settings say. Tracebacks omit local variables, because they hold tokens."""
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
            _escape_values,
            *render,
        ]
    )


def _escape_values(
    _logger: Any, _method: str, entry: MutableMapping[str, Any]
) -> Mapping[str, Any]:
    """Escape control characters, because a logged value may come from a stranger's request."""
    return {
        name: escape_controls(value) if isinstance(value, str) else value
        for name, value in entry.items()
    }


def log_to_stderr() -> None:
    """Write the log to stderr. The output of a command is on stdout, where a program may read it."""
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
