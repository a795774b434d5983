"""Ask the audit questions, and show remedies."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Annotated, Any

import msgspec
import typer

from teamaccess.audit.questions.decisions import Decision
from teamaccess.audit.questions.evidence import Evidence
from teamaccess.audit.questions.people import DisplayNames, Person, actor_with_names, display_names
from teamaccess.audit.service import AuditScope
from teamaccess.audit.state.moment import Basis
from teamaccess.cli.connected import AsJson, connected
from teamaccess.cli.terminal import echo, time_of
from teamaccess.service import Service
from teamaccess.storage import OrganizationId
from teamaccess.views.audit import (
    MatrixView,
    PathView,
    RemedyView,
    StepView,
    WhatCanView,
    WhoCanView,
    WhyView,
)
from teamaccess.views.tables import print_table, rows_as_csv


def remedied(found: WhyView) -> Iterator[str]:
    """Yield a line for each remedy, or why there is none and who can instead."""
    for remedy in found.remedies:
        steps = ", then ".join(_step(step) for step in remedy.steps)
        yield f"  It would take: {steps}{_adds(remedy.adds)}: {_who(remedy)}."
    if found.no_remedy is not None:
        yield f"  {found.no_remedy}"
    if found.instead is not None:
        yield f"  These can: {_people(found.instead.people, found.instead.more)}."


def _step(step: StepView) -> str:
    return step.sentence[0].lower() + step.sentence[1:].removesuffix(".")


def _adds(adds: Sequence[str]) -> str:
    if not adds:
        return ""
    more = f" and {len(adds) - 1} more" if len(adds) > 1 else ""
    return f" (also allows {adds[0]}{more})"


def _who(remedy: RemedyView) -> str:
    if remedy.operator:
        return f"an operator, with `{remedy.steps[-1].command}`"
    return f"{_people(remedy.by, 0)} may" + (f", perhaps {remedy.more} more" if remedy.more else "")


def _people(people: Sequence[Person], more: int) -> str:
    named = ", ".join(each.display_name for each in people)
    return f"{named} and {more} more" if more else named


app = typer.Typer(add_completion=False, no_args_is_help=True)

DENIED = 1

Organization = Annotated[str, typer.Argument(help="The organization's id.")]
RemedyTarget = Annotated[str, typer.Argument(metavar="USER", help="A user's id or e-mail address.")]
Action = Annotated[str, typer.Argument(help="An action of the catalog, or of the resource.")]
Resource = Annotated[str | None, typer.Argument(help="type:id, as in webhook:wh_1.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV, for spreadsheets.")]
At = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Answer as of then: 2026-03-31T23:59:59Z. UTC without a zone; a date is its first moment.",
    ),
]
By = Annotated[
    Basis, typer.Option(help="What counts then: what was decided, or what SpiceDB had by then.")
]


@app.callback()
def commands() -> None:
    """Say who can do what, and why, with what makes the answer evidence."""


@app.command("who-can")
def show_who_can(
    organization: Organization,
    action: Action,
    resource: Resource = None,
    at: At = None,
    basis: By = Basis.DECIDED,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Say who can do something, and every way in which each of them can."""

    async def ask(service: Service) -> WhoCanView:
        scope = _scope(organization, at, basis)
        return WhoCanView.of(await service.audit.who_can(scope, action, resource))

    found = connected(ask)
    _show(found, found.evidence, found.table(), as_json=as_json, as_csv=as_csv)


@app.command("what-can")
def show_what_can(
    organization: Organization,
    user: RemedyTarget,
    at: At = None,
    basis: By = Basis.DECIDED,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Say what somebody can do, and every way in which they can."""

    async def ask(service: Service) -> WhatCanView:
        scope = _scope(organization, at, basis)
        return WhatCanView.of(await service.audit.what_can(scope, user))

    found = connected(ask)
    _show(found, found.evidence, found.table(), as_json=as_json, as_csv=as_csv)


@app.command("matrix")
def show_matrix(
    organization: Organization,
    at: At = None,
    basis: By = Basis.DECIDED,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Say of every active member which actions they have. As a table, actions are rows."""

    async def ask(service: Service) -> MatrixView:
        return MatrixView.of(await service.audit.matrix(_scope(organization, at, basis)))

    found = connected(ask)
    rows = found.table() if as_csv else _turned(found.table())
    _show(found, found.evidence, rows, as_json=as_json, as_csv=as_csv)


@app.command("why")
def show_why(
    organization: Organization,
    user: RemedyTarget,
    action: Action,
    resource: Resource = None,
    at: At = None,
    basis: By = Basis.DECIDED,
    as_json: AsJson = False,
) -> None:
    """Say why somebody can do something, or why not and what would allow it.

    Exits with 0 where they can, with 1 where they cannot, and with 2 when it could not be asked.
    """

    async def ask(service: Service) -> WhyView:
        scope = _scope(organization, at, basis)
        return WhyView.of(*await service.audit.why(scope, user, action, resource))

    found = connected(ask)
    if as_json:
        echo(msgspec.json.encode(found).decode())
    else:
        for line in _explained(found):
            echo(line)
    raise typer.Exit(0 if found.allowed else DENIED)


def _scope(organization: str, at: str | None, basis: Basis) -> AuditScope:
    time = time_of(at) if at is not None else None
    return AuditScope(OrganizationId(organization), time, basis)


def _show(
    answer: Any,
    evidence: Evidence,
    rows: Iterable[list[str]],
    *,
    as_json: bool,
    as_csv: bool,
) -> None:
    if as_json:
        echo(msgspec.json.encode(answer).decode())
    elif as_csv:
        sys.stdout.writelines(rows_as_csv(rows))
        echo(_signed(evidence), err=True)
    else:
        head, *rest = rows
        print_table(head, rest)
        echo(_signed(evidence))


def _turned(rows: Iterator[list[str]]) -> list[list[str]]:
    """Return the rows as columns, people by their address where they have one."""
    head, *people = rows
    names = [email or user for user, email, *_ in people]
    cells = zip(head, *people, strict=True)
    return [["action", *names], *map(list, islice(cells, 3, None))]


def _signed(evidence: Evidence) -> str:
    then = (
        f"as of {_when(evidence.at)} ({evidence.query['basis']}), "
        if "at" in evidence.query
        else ""
    )
    return (
        f"{evidence.organization} {then}at position {evidence.position} ({evidence.hash[:12]}), "
        f"asked {_when(evidence.asked_at)}, catalog {evidence.catalog}. "
        f"Rows: {evidence.rows}; unexplained: {evidence.unexplained}; missing: {evidence.missing}."
    )


def _explained(found: WhyView) -> Iterator[str]:
    yield "yes" if found.allowed else "no"
    changes = {change.position: change for change in found.changes}
    names = display_names(found.people)
    for path in found.paths:
        yield f"  {_way(path, names)}"
        for link in path.links:
            yield f"    {link.relationship}"
            yield f"      {_given(changes[link.began], names)}, position {link.began}"
    if (obstacle := found.obstacle) is not None:
        change = obstacle.change
        since = ""
        if obstacle.expired_at is not None:
            since = f" It ended by itself at {_when(obstacle.expired_at)}."
        elif change is not None:
            why = f": {change.reason}" if change.reason else ""
            since = f" Since {_when(change.decided_at)}, by {actor_with_names(change.actor, names)}{why}."
        yield f"  {obstacle.sentence}{since}"
    yield from remedied(found)
    yield _signed(found.evidence)


def _way(path: PathView, names: DisplayNames) -> str:
    what = "granted on it" if path.role is None else f"role {path.role}"
    team = f" of team {path.team}" if path.team else ""
    until = f" until {_when(path.until)}" if path.until else ""
    why = f": {path.reason}" if path.reason else ""
    by = actor_with_names(path.granted_by, names)
    return f"{what}{team} since {_when(path.since)}{until}, by {by}{why}"


def _given(change: Decision, names: DisplayNames) -> str:
    why = f": {change.reason}" if change.reason else ""
    by = actor_with_names(change.actor, names)
    return f"since {_when(change.decided_at)}, by {by} ({change.channel}){why}"


def _when(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
