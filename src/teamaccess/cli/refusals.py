"""How a command tells that it could not do what it was asked: in a sentence or two, or in JSON."""

import traceback
from typing import Any

import msgspec
import typer

from teamaccess.catalog import InvalidCatalog, UnknownCatalog
from teamaccess.cli.terminal import echo
from teamaccess.common.errors import TeamaccessError
from teamaccess.relationships import InvalidRelationship

EXIT_FAILED = 2
"""The exit code of what could not be done or asked; 1 is the "no" of a command that answers."""

OURS = (TeamaccessError, InvalidCatalog, UnknownCatalog, InvalidRelationship)
"""What a command refuses by itself; its text is the sentence."""


def print_refusal(refusal: Exception, as_json: bool) -> None:
    """Print on stderr what was refused, as one line of JSON or for people."""
    if as_json:
        echo(msgspec.json.encode(_facts(refusal)).decode(), err=True)
        return
    match refusal:
        case typer.TyperException() if text := refusal.format_message():
            echo(text, err=True, fg="red")
            if (context := getattr(refusal, "ctx", None)) is not None:
                echo(f"Try `{context.command_path} --help`.", err=True)
        case typer.TyperException():
            pass  # it was called without anything, and its help is printed already
        case _ if isinstance(refusal, OURS):
            echo(str(refusal), err=True, fg="red")
        case _:
            echo("".join(traceback.format_exception(refusal)), err=True, nl=False)


def _facts(refusal: Exception) -> dict[str, Any]:
    """Return the refusal as the API's problems have it: a code, a sentence, the facts of the case."""
    match refusal:
        case TeamaccessError():
            return {"code": refusal.code, "detail": refusal.detail, **refusal.facts}
        case typer.TyperException():
            return {"code": "invalid_usage", "detail": refusal.format_message()}
        case InvalidCatalog():
            mistakes = [{"line": each.line, "message": each.message} for each in refusal.mistakes]
            told: dict[str, Any] = {"mistakes": mistakes}
            if refusal.left_out:
                told["mistakes_left_out"] = refusal.left_out
            return {"code": "invalid_catalog", "detail": str(refusal), **told}
        case UnknownCatalog():
            return {"code": "unknown_catalog", "detail": str(refusal)}
        case InvalidRelationship():
            return {"code": "invalid_relationship", "detail": str(refusal)}
        case _:
            trace = "".join(traceback.format_exception(refusal))
            return {"code": "internal_error", "detail": repr(refusal), "traceback": trace}
