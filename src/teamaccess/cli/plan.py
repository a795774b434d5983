"""`teamaccess plan`: who would gain and who would lose what, before anything is written."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer
import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from teamaccess.api.views.plans import PlanView
from teamaccess.catalog import load
from teamaccess.cli.connected import AsJson, connected, operator, progress_of
from teamaccess.errors import Invalid
from teamaccess.models import OrganizationId, UserId
from teamaccess.plans.moved import refuse_moved
from teamaccess.plans.plan import plan
from teamaccess.plans.proposals import Proposals, make_all
from teamaccess.service import Service
from teamaccess.text import LONGEST_REASON, clean

app = typer.Typer(add_completion=False)

CHANGES = 1
"""The exit code where somebody would gain or lose something."""
AsMarkdown = Annotated[
    bool, typer.Option("--markdown", help="Print Markdown, for a comment on a change.")
]


class BadPlan(Invalid):
    """{file} is no plan: {cause}."""


class CatalogApart(Invalid):
    """A catalog is not applied with other changes: use `teamaccess schema apply`."""


class Document(msgspec.Struct, forbid_unknown_fields=True):
    """What a plan's file says."""

    organization: str
    changes: Proposals = msgspec.field(default_factory=list)
    catalog: str | None = None
    """The name or the path of another catalog; a path is seen from the file."""
    reason: str | None = None


@app.command("plan")
def show_plan(
    file: Annotated[
        Path, typer.Argument(help="YAML or JSON (docs/plans.md).", exists=True, dir_okay=False)
    ],
    apply: Annotated[
        bool, typer.Option("--apply", help="Make the changes, as an operator.")
    ] = False,
    state: Annotated[
        str | None,
        typer.Option(
            help="With --apply: the `state` of the plan that you saw; else it is made now."
        ),
    ] = None,
    as_markdown: AsMarkdown = False,
    as_json: AsJson = False,
) -> None:
    """Say who would gain and who would lose which action by what a file proposes.

    Nothing is written, unless with --apply, and then only if nothing has changed since. Exits with 0 if
    nobody gains or loses anything, with 1 if somebody does, and with 2 when it could not be asked; with
    --apply, with 0 once it is made.
    """
    wanted = _read(file)
    if apply and wanted.catalog is not None:
        raise CatalogApart

    async def work(service: Service) -> tuple[PlanView, str]:
        here = OrganizationId(wanted.organization)
        catalog = load(_beside(file, wanted.catalog)) if wanted.catalog is not None else None
        found = PlanView.of(
            await plan(service.audit, service.ledger, here, wanted.changes, catalog)
        )
        made = await _make(service, wanted, state or found.state) if apply else ""
        return found, made

    found, made = connected(work)
    show([found], as_markdown=as_markdown, as_json=as_json)
    if made:
        typer.echo(made, err=True)
    raise typer.Exit(0 if apply else exit_code([found]))


def show(plans: list[PlanView], *, as_markdown: bool, as_json: bool) -> None:
    """Print plans: as JSON a line for each, as Markdown or a table what changes for whom."""
    for each in plans:
        if as_json:
            typer.echo(msgspec.json.encode(each).decode())
        elif as_markdown:
            typer.echo("\n".join(_markdown(each)))
        else:
            _print_table(each)


def exit_code(plans: list[PlanView]) -> int:
    """Return 1 where somebody would gain or lose something, or a relationship would lose its place."""
    return CHANGES if any(each.items or each.orphans for each in plans) else 0


async def _make(service: Service, wanted: Document, state: str) -> str:
    here = OrganizationId(wanted.organization)
    async with service.ledger.change(operator(), here) as change:
        refuse_moved(change, lambda now: state == now)
        if wanted.reason is not None:
            change.because(clean("reason", wanted.reason, LONGEST_REASON))
        await make_all(wanted.changes, change, UserId(change.attribution.actor), here)
        return progress_of(await service.ledger.commit(change))[0]


def _read(file: Path) -> Document:
    try:
        return msgspec.convert(yaml.safe_load(file.read_text(encoding="utf-8")), Document)
    except (OSError, ValueError, RecursionError, yaml.YAMLError, msgspec.ValidationError) as wrong:
        raise BadPlan(file=file, cause=" ".join(str(wrong).split())) from wrong


def _beside(file: Path, catalog: str) -> str | Path:
    return file.parent / catalog if catalog.endswith(".yaml") else catalog


def _print_table(found: PlanView) -> None:
    head, *rows = found.sheet()
    notes = Text("\n".join(_notes(found)))
    if not rows:
        Console().print("Nobody gains or loses anything.", notes, sep="\n")
        return
    table = Table(caption=notes, caption_justify="left")
    for name in head:
        table.add_column(Text(name))
    for row in rows:
        table.add_row(*map(Text, row))  # which people wrote, and which is no markup
    Console().print(table)


def _markdown(found: PlanView) -> Iterator[str]:
    people = len(found.items)
    affected = "nobody gains or loses anything" if not people else f"{people} affected"
    yield f"### {found.evidence.organization}: {affected}"
    yield ""
    head, *rows = found.sheet()
    if rows:
        yield f"| {' | '.join(head)} |"
        yield f"| {' | '.join('---' for _ in head)} |"
        for row in rows:
            yield f"| {' | '.join(map(_cell, row))} |"
        yield ""
    yield from (f"- {_cell(note)}" for note in _notes(found))
    yield ""


def _notes(found: PlanView) -> Iterator[str]:
    evidence = found.evidence
    yield f"At position {evidence.position} of {evidence.organization}; state {found.state}."
    if found.catalog != evidence.catalog:
        yield f"Under the catalog {found.catalog} instead of {evidence.catalog}."
    for orphan in found.orphans:
        yield f"The catalog has no place for {orphan}: SpiceDB refuses it while that stands."
    if found.updates:
        yield f"{len(found.updates)} updates of relationships would be written."


def _cell(text: str) -> str:
    """Return the text as a cell of a table has it: nothing in it is taken for Markdown."""
    escaped = "".join(f"\\{each}" if each in "\\`*_{}[]<>()#+!|~" else each for each in text)
    return " ".join(escaped.split())
