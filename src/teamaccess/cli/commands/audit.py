"""`teamaccess audit`: ask who can do what and why, and which changes would allow it."""

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
from teamaccess.cli.terminal import echo, echo_csv
from teamaccess.cli.with_service import NAMES_A_USER, AsJson, with_service
from teamaccess.common.formats.times import parse_time
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
from teamaccess.views.tables import print_table


def remedy_lines(found: WhyView) -> Iterator[str]:
    """Yield a line for each remedy, or the reason why there is none and the people who can do it."""
    for remedy in found.remedies:
        steps = ", then ".join(_step(step) for step in remedy.steps)
        yield f"  To allow it: {steps}{_adds(remedy.adds)}. {_who_may(remedy)}"
    if found.no_remedy is not None:
        yield f"  {found.no_remedy}"
    if found.instead is not None:
        yield f"  These people can do it: {_people(found.instead.people, found.instead.more)}."


def _step(step: StepView) -> str:
    return step.sentence[0].lower() + step.sentence[1:].removesuffix(".")


def _adds(adds: Sequence[str]) -> str:
    if not adds:
        return ""
    more = f" and {len(adds) - 1} more" if len(adds) > 1 else ""
    return f" (also allows {adds[0]}{more})"


def _who_may(remedy: RemedyView) -> str:
    if remedy.operator:
        return f"An operator may do that: `{remedy.steps[-1].command}`."
    more = f", and perhaps {remedy.more} more," if remedy.more else ""
    return f"{_people(remedy.by, 0)}{more} may do that."


def _people(people: Sequence[Person], more: int) -> str:
    named = ", ".join(each.display_name for each in people)
    return f"{named} and {more} more" if more else named


app = typer.Typer(add_completion=False, no_args_is_help=True)

DENIED = 1

Organization = Annotated[str, typer.Argument(help="The organization's id.")]
UserArgument = Annotated[str, typer.Argument(metavar="USER", help=NAMES_A_USER)]
Action = Annotated[str, typer.Argument(help="An action of the catalog, or of the resource.")]
Resource = Annotated[str | None, typer.Argument(help="An object as type:id, such as webhook:wh_1.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV, for spreadsheets.")]
AtOption = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Answer as of this past time, such as 2026-03-31T23:59:59Z. The default zone is UTC; "
        "a date means its first moment.",
    ),
]
BasisOption = Annotated[
    Basis,
    typer.Option(help="With --at: use what was decided by then, or what SpiceDB had by then."),
]


@app.callback()
def commands() -> None:
    """Ask who can do what, and why. Every answer names its evidence."""


@app.command("who-can")
def show_who_can(
    organization: Organization,
    action: Action,
    resource: Resource = None,
    at: AtOption = None,
    basis: BasisOption = Basis.DECIDED,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List everybody who can do something, and why."""

    async def ask(service: Service) -> WhoCanView:
        scope = _scope(organization, at, basis)
        return WhoCanView.of(await service.audit.who_can(scope, action, resource))

    found = with_service(ask)
    _show(found, found.evidence, found.table(), as_json=as_json, as_csv=as_csv)


@app.command("what-can")
def show_what_can(
    organization: Organization,
    user: UserArgument,
    at: AtOption = None,
    basis: BasisOption = Basis.DECIDED,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List everything that a user can do, and why."""

    async def ask(service: Service) -> WhatCanView:
        scope = _scope(organization, at, basis)
        return WhatCanView.of(await service.audit.what_can(scope, user))

    found = with_service(ask)
    _show(found, found.evidence, found.table(), as_json=as_json, as_csv=as_csv)


@app.command("matrix")
def show_matrix(
    organization: Organization,
    at: AtOption = None,
    basis: BasisOption = Basis.DECIDED,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """List every active member with their actions. The table has a row for each action."""

    async def ask(service: Service) -> MatrixView:
        return MatrixView.of(await service.audit.matrix(_scope(organization, at, basis)))

    found = with_service(ask)
    rows = found.table() if as_csv else _transposed(found.table())
    _show(found, found.evidence, rows, as_json=as_json, as_csv=as_csv)


@app.command("why")
def show_why(
    organization: Organization,
    user: UserArgument,
    action: Action,
    resource: Resource = None,
    at: AtOption = None,
    basis: BasisOption = Basis.DECIDED,
    as_json: AsJson = False,
) -> None:
    """Explain why a user can do something, or why not and which changes would allow it.

    Exits with 0 if the user can, with 1 if not, and with 2 if the question could not be asked.
    """

    async def ask(service: Service) -> WhyView:
        scope = _scope(organization, at, basis)
        return WhyView.of(*await service.audit.why(scope, user, action, resource))

    found = with_service(ask)
    if as_json:
        echo(msgspec.json.encode(found).decode())
    else:
        for line in _explanation_lines(found):
            echo(line)
    raise typer.Exit(0 if found.allowed else DENIED)


def _scope(organization: str, at: str | None, basis: Basis) -> AuditScope:
    time = parse_time(at) if at is not None else None
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
        echo_csv(rows)
        echo(_evidence_line(evidence), err=True)
    else:
        head, *rest = rows
        print_table(head, rest)
        echo(_evidence_line(evidence))


def _transposed(rows: Iterator[list[str]]) -> list[list[str]]:
    """Return rows as columns. People appear with their address if they have one, else with their id."""
    head, *people = rows
    names = [email or user for user, email, *_ in people]
    cells = zip(head, *people, strict=True)
    return [["action", *names], *map(list, islice(cells, 3, None))]


def _evidence_line(evidence: Evidence) -> str:
    then = (
        f"as of {_timestamp(evidence.at)} ({evidence.query['basis']}), "
        if "at" in evidence.query
        else ""
    )
    return (
        f"{evidence.organization} {then}at position {evidence.position} ({evidence.hash[:12]}), "
        f"asked {_timestamp(evidence.asked_at)}, catalog {evidence.catalog}. "
        f"Rows: {evidence.rows}; unexplained: {evidence.unexplained}; missing: {evidence.missing}."
    )


def _explanation_lines(found: WhyView) -> Iterator[str]:
    yield "yes" if found.allowed else "no"
    changes = {change.position: change for change in found.changes}
    names = display_names(found.people)
    for path in found.paths:
        yield f"  {_path_line(path, names)}"
        for link in path.links:
            yield f"    {link.relationship}"
            yield f"      {_origin_line(changes[link.began], names)}, position {link.began}"
    if (obstacle := found.obstacle) is not None:
        change = obstacle.change
        since = ""
        if obstacle.expired_at is not None:
            since = f" It expired at {_timestamp(obstacle.expired_at)}."
        elif change is not None:
            by = actor_with_names(change.actor, names)
            reason = f": {change.reason}" if change.reason else ""
            since = f" Since {_timestamp(change.decided_at)}, by {by}{reason}."
        yield f"  {obstacle.sentence}{since}"
    yield from remedy_lines(found)
    yield _evidence_line(found.evidence)


def _path_line(path: PathView, names: DisplayNames) -> str:
    source = "granted on the object" if path.role is None else f"role {path.role}"
    team = f" of team {path.team}" if path.team else ""
    where = " on the object" if path.on_object and path.role is not None else ""
    until = f" until {_timestamp(path.until)}" if path.until else ""
    reason = f": {path.reason}" if path.reason else ""
    by = actor_with_names(path.granted_by, names)
    return f"{source}{team}{where} since {_timestamp(path.since)}{until}, by {by}{reason}"


def _origin_line(change: Decision, names: DisplayNames) -> str:
    reason = f": {change.reason}" if change.reason else ""
    by = actor_with_names(change.actor, names)
    return f"since {_timestamp(change.decided_at)}, by {by} ({change.channel}){reason}"


def _timestamp(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
