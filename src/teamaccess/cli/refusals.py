"""Print the error of a command, as a sentence or two, or as JSON."""

import traceback
from collections.abc import Iterable
from typing import Any

import msgspec
import typer

from teamaccess.catalog import InvalidCatalog, UnknownCatalog
from teamaccess.cli.terminal import echo
from teamaccess.common.errors import Invalid, TeamaccessError
from teamaccess.common.text import escape_controls
from teamaccess.relationships import InvalidRelationship

EXIT_FAILED = 2
"""The exit code of a command that failed. 1 is the answer "no" of a command that asks a question."""

OWN_ERRORS = (TeamaccessError, InvalidCatalog, UnknownCatalog, InvalidRelationship)
"""Our own errors, whose text is a sentence for people."""


class BrokenText(Invalid):
    """An argument has bytes that are not text."""

    message = "The argument {argument} is not text in UTF-8. Correct it."


def refuse_broken_text(arguments: Iterable[str]) -> None:
    """Raise BrokenText for an argument with bytes that no answer could repeat."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise BrokenText(argument=escape_controls(argument)) from None


def print_refusal(refusal: Exception, as_json: bool) -> None:
    """Print an error on stderr, as one line of JSON or as text."""
    if as_json:
        echo(msgspec.json.encode(_facts(refusal)).decode(), err=True)
        return
    match refusal:
        case typer.TyperException() if text := refusal.format_message():
            echo(text, err=True, fg="red")
            if (context := getattr(refusal, "ctx", None)) is not None:
                echo(f"Try `{context.command_path} --help`.", err=True)
        case typer.TyperException():
            pass  # a group was called without a command, and Typer has printed its help
        case _ if isinstance(refusal, OWN_ERRORS):
            echo(str(refusal), err=True, fg="red")
        case OSError() if refusal.strerror:
            echo(_os_error_text(refusal), err=True, fg="red")
        case _:
            echo("".join(traceback.format_exception(refusal)), err=True, nl=False)


def _os_error_text(error: OSError) -> str:
    """Return what the operating system refused, and for which file."""
    where = f" ({error.filename})" if error.filename else ""
    return f"The operating system refused it: {error.strerror}{where}."


def _facts(refusal: Exception) -> dict[str, Any]:
    """Return the error in the form of the API's problems: code, sentence and facts."""
    match refusal:
        case TeamaccessError():
            return {"code": refusal.code, "detail": refusal.detail, **refusal.facts}
        case typer.TyperException():
            return {"code": "invalid_usage", "detail": refusal.format_message()}
        case InvalidCatalog():
            mistakes = [{"line": each.line, "message": each.message} for each in refusal.mistakes]
            facts: dict[str, Any] = {"mistakes": mistakes}
            if refusal.left_out:
                facts["mistakes_left_out"] = refusal.left_out
            return {"code": "invalid_catalog", "detail": str(refusal), **facts}
        case UnknownCatalog():
            return {"code": "unknown_catalog", "detail": str(refusal)}
        case OSError() if refusal.strerror:
            return {"code": "system_error", "detail": _os_error_text(refusal)}
        case InvalidRelationship():
            return {"code": "invalid_relationship", "detail": str(refusal)}
        case _:
            trace = "".join(traceback.format_exception(refusal))
            return {"code": "internal_error", "detail": repr(refusal), "traceback": trace}
