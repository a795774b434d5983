"""`teamaccess plan`: show who would gain and lose what, before anything is written."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer
import yaml

from teamaccess.audit.plans.operations.base import Invitations
from teamaccess.audit.plans.plan import plan, refuse_moved
from teamaccess.audit.plans.proposals import Proposals, make_all
from teamaccess.catalog import load_catalog
from teamaccess.cli.terminal import echo
from teamaccess.cli.with_service import AsJson, operator_attribution, progress_of, with_service
from teamaccess.common.errors import Invalid
from teamaccess.common.formats.duplicates import read_yaml
from teamaccess.common.formats.times import decode_instant
from teamaccess.common.sentences.plurals import pluralize
from teamaccess.common.text import LONGEST_REASON, clean
from teamaccess.service import Service
from teamaccess.storage import OrganizationId
from teamaccess.views.plans import PlanView
from teamaccess.views.tables import print_table

app = typer.Typer(add_completion=False)

CHANGES = 1
"""The exit code if something would change."""
MOST_PRINTED = 20
"""How many updates are printed. --json prints all of them."""
NOBODY = "Nobody gains or loses anything now."
AsMarkdown = Annotated[
    bool, typer.Option("--markdown", help="Print Markdown, for a comment on a pull request.")
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
    """The content of a plan's file."""

    organization: str
    changes: Proposals = msgspec.field(default_factory=list)
    catalog: str | None = None
    """The name or the path of another catalog. A path is relative to the file."""
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
            help="With --apply: the `state` of the plan that you reviewed. The default is a new plan."
        ),
    ] = None,
    as_markdown: AsMarkdown = False,
    as_json: AsJson = False,
) -> None:
    """Show who would gain and lose which action by the changes in a file.

    Without --apply, nothing is written. With --apply, the changes are made if the organization has not
    changed since the plan.

    Exits with 0 if nothing would change, with 1 if something would, and with 2 if the plan could not be
    made. With --apply, it exits with 0 once the changes are made.
    """
    document = _read(file)
    if apply and document.catalog is not None:
        raise CatalogApart

    async def work(service: Service) -> tuple[PlanView, str]:
        id = OrganizationId(document.organization)
        if apply and state is not None:
            # checked before planning, because planning may fail if the organization has changed
            async with service.ledger.change(operator_attribution(), id) as change:
                refuse_moved(change, lambda now: state == now)
        catalog = (
            load_catalog(_catalog_path(file, document.catalog))
            if document.catalog is not None
            else None
        )
        found = PlanView.of(
            await plan(service.audit.sources, service.ledger, id, document.changes, catalog)
        )
        made = await _apply(service, document, state or found.state) if apply else ""
        return found, made

    found, made = with_service(work)
    show([found], as_markdown=as_markdown, as_json=as_json)
    if made:
        echo(made, err=True)
    raise typer.Exit(0 if apply else exit_code([found]))


def show(plans: list[PlanView], *, as_markdown: bool, as_json: bool) -> None:
    """Print plans: as JSON with a line for each, or as Markdown or a table of gains and losses."""
    for each in plans:
        if as_json:
            echo(msgspec.json.encode(each).decode())
        elif as_markdown:
            echo("\n".join(_markdown(each)))
        else:
            _print_table(each)


def exit_code(plans: list[PlanView]) -> int:
    """Return 1 if anything would change, now or later by an expiry or a reactivation."""
    return CHANGES if any(each.items or each.orphans or each.updates for each in plans) else 0


async def _apply(service: Service, document: Document, state: str) -> str:
    id = OrganizationId(document.organization)
    async with service.ledger.change(operator_attribution(), id) as change:
        refuse_moved(change, lambda now: state == now)
        if document.reason is not None:
            change.store_reason(clean("reason", document.reason, LONGEST_REASON))
        await make_all(document.changes, change, Invitations(service.keys.invitees))
        return progress_of(await service.ledger.commit(change))[0]


def _read(file: Path) -> Document:
    try:
        content = read_yaml(file.read_text(encoding="utf-8-sig"))
        return msgspec.convert(content, Document, dec_hook=decode_instant)
    except (OSError, ValueError, RecursionError, yaml.YAMLError, msgspec.ValidationError) as wrong:
        raise BadPlan(file=file, cause=" ".join(str(wrong).split())) from wrong


def _catalog_path(file: Path, catalog: str) -> str | Path:
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
    yield f"Planned at position {evidence.position} of {evidence.organization}. Its state:"
    yield found.state
    if found.catalog != evidence.catalog:
        yield f"Under the catalog {found.catalog} instead of {evidence.catalog}."
    for orphan in found.orphans:
        yield f"The catalog has no place for {orphan}. While it exists, SpiceDB refuses the catalog."
    if found.updates:
        yield f"These changes would write {pluralize(len(found.updates), 'update')} of relationships:"
    yield from found.updates[:MOST_PRINTED]
    if len(found.updates) > MOST_PRINTED:
        yield f"... and {len(found.updates) - MOST_PRINTED} more. --json prints all of them."


def _cell(text: str) -> str:
    """Return the text as the cell of a Markdown table, with all Markdown in it escaped."""
    escaped = "".join(f"\\{each}" if each in "\\`*_{}[]<>()#+!|~" else each for each in text)
    return " ".join(escaped.split())
