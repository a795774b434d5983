"""`python -m benchmarks [NAME...] [--json]`: the cost of operations, and of their bare parts."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import typer

from benchmarks import (
    audit,
    checks,
    expiry,
    fairness,
    imports,
    invitations,
    members,
    paths,
    plans,
    quantization,
    rebuild,
    reconcile,
    relay,
    resources,
    role_change,
    statements,
)
from benchmarks.support.environment import Environment, open_environment
from benchmarks.support.report import Table, as_json, draw
from teamaccess.common import process
from teamaccess.common.formats.streams import harden_streams

BENCHMARKS: dict[str, Callable[[Environment], Coroutine[Any, Any, list[Table]]]] = {
    "role_change": role_change.measure,
    "invitations": invitations.measure,
    "members": members.measure,
    "checks": checks.measure,
    "expiry": expiry.measure,
    "quantization": quantization.measure,
    "imports": imports.measure,
    "relay": relay.measure,
    "reconcile": reconcile.measure,
    "rebuild": rebuild.measure,
    "resources": resources.measure,
    "paths": paths.measure,
    "plans": plans.measure,
    "statements": statements.measure,
    "audit": audit.measure,
    "fairness": fairness.measure,
}


WITH_LIMITS = ("fairness",)
"""Benchmarks that run with the default rate limits."""


def main(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help=f"Which of {', '.join(BENCHMARKS)}; all if none."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Run benchmarks, each in a new environment."""
    for name in names or ():
        if name not in BENCHMARKS:
            raise typer.BadParameter(f"there is no {name}; there are {', '.join(BENCHMARKS)}")
    tables: list[Table] = []
    for name in names or BENCHMARKS:
        with open_environment(limited=name in WITH_LIMITS) as environment:
            measured = process.run_to_end(BENCHMARKS[name](environment))
        if not json:
            draw(measured)
        tables += measured
    if json:
        typer.echo(as_json(tables))


if __name__ == "__main__":
    harden_streams()
    typer.run(main)
