"""`teamaccess plan`: who would gain and who would lose what, before anything is written."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer
import yaml

from teamaccess.audit.plans.plan import plan, refuse_moved
from teamaccess.audit.plans.proposals import Proposals, make_all
from teamaccess.catalog import load_catalog
from teamaccess.cli.connected import AsJson, connected, operator, progress_of
from teamaccess.cli.terminal import echo
from teamaccess.common.errors import Invalid
from teamaccess.common.text import LONGEST_REASON, clean, pluralize
from teamaccess.service import Service
from teamaccess.storage import OrganizationId
from teamaccess.views.plans import PlanView
from teamaccess.views.tables import print_table

app = typer.Typer(add_completion=False)

CHANGES = 1
"""The exit code where something would change."""
MOST_TOLD = 20
"""Updates that are told to people."""
NOBODY = "Nobody gains or loses anything at this moment."
AsMarkdown = Annotated[
    bool, typer.Option("--markdown", help="Print Markdown, for a comment on a change.")
]


class BadPlan(Invalid):
    """The file cannot be read as a plan."""

    message = "{file} is not a valid plan: {cause}."


class CatalogApart(Invalid):
    """The file proposes a catalog and is to be applied.

    A catalog changes every organization, so it has a command of its own.
    """

    message = (
        "A plan with a catalog can't be applied. Take `catalog` out of the file and apply the "
        "rest. Then put the catalog in force with `teamaccess schema apply` and "
        "TEAMACCESS_CATALOG."
    )


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
        Path,
        typer.Argument(help="YAML or JSON (docs/reference/plans.md).", exists=True, dir_okay=False),
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
    nothing would change, with 1 if something would, and with 2 when it could not be asked; with --apply,
    with 0 once it is made.
    """
    wanted = _read(file)
    if apply and wanted.catalog is not None:
        raise CatalogApart

    async def work(service: Service) -> tuple[PlanView, str]:
        here = OrganizationId(wanted.organization)
        if apply and state is not None:  # what has moved may refuse the changes, too
            async with service.ledger.change(operator(), here) as change:
                refuse_moved(change, lambda now: state == now)
        catalog = (
            load_catalog(_beside(file, wanted.catalog)) if wanted.catalog is not None else None
        )
        found = PlanView.of(
            await plan(service.audit.sources, service.ledger, here, wanted.changes, catalog)
        )
        made = await _make(service, wanted, state or found.state) if apply else ""
        return found, made

    found, made = connected(work)
    show([found], as_markdown=as_markdown, as_json=as_json)
    if made:
        echo(made, err=True)
    raise typer.Exit(0 if apply else exit_code([found]))


def show(plans: list[PlanView], *, as_markdown: bool, as_json: bool) -> None:
    """Print plans: as JSON a line for each, as Markdown or a table what changes for whom."""
    for each in plans:
        if as_json:
            echo(msgspec.json.encode(each).decode())
        elif as_markdown:
            echo("\n".join(_markdown(each)))
        else:
            _print_table(each)


def exit_code(plans: list[PlanView]) -> int:
    """Return 1 where anything would change: for somebody now, or by an end or a return later."""
    return CHANGES if any(each.items or each.orphans or each.updates for each in plans) else 0


async def _make(service: Service, wanted: Document, state: str) -> str:
    here = OrganizationId(wanted.organization)
    async with service.ledger.change(operator(), here) as change:
        refuse_moved(change, lambda now: state == now)
        if wanted.reason is not None:
            change.because(clean("reason", wanted.reason, LONGEST_REASON))
        await make_all(wanted.changes, change)
        return progress_of(await service.ledger.commit(change))[0]


def _read(file: Path) -> Document:
    try:
        return msgspec.convert(yaml.safe_load(file.read_text(encoding="utf-8")), Document)
    except (OSError, ValueError, RecursionError, yaml.YAMLError, msgspec.ValidationError) as wrong:
        raise BadPlan(file=file, cause=" ".join(str(wrong).split())) from wrong


def _beside(file: Path, catalog: str) -> str | Path:
    return file.parent / catalog if catalog.endswith(".yaml") else catalog


def _print_table(found: PlanView) -> None:
    head, *rows = found.table()
    if rows:
        print_table(head, rows)
    else:
        echo(NOBODY)
    for note in _notes(found):
        echo(note)


def _markdown(found: PlanView) -> Iterator[str]:
    people = len(found.items)
    affected = "nobody gains or loses anything now" if not people else f"{people} affected"
    yield f"### {found.evidence.organization}: {affected}"
    yield ""
    head, *rows = found.table()
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
    yield f"At position {evidence.position} of {evidence.organization}. Its state:"
    yield found.state
    if found.catalog != evidence.catalog:
        yield f"Under the catalog {found.catalog} instead of {evidence.catalog}."
    for orphan in found.orphans:
        yield f"The catalog has no place for {orphan}: SpiceDB refuses it while that stands."
    if found.updates:
        yield f"Would be written: {pluralize(len(found.updates), 'update')} of relationships."
    yield from found.updates[:MOST_TOLD]
    if len(found.updates) > MOST_TOLD:
        yield f"... and {len(found.updates) - MOST_TOLD} more; --json has them all."


def _cell(text: str) -> str:
    """Return the text as a cell of a table has it: nothing in it is taken for Markdown."""
    escaped = "".join(f"\\{each}" if each in "\\`*_{}[]<>()#+!|~" else each for each in text)
    return " ".join(escaped.split())
