"""`teamaccess schema`: validate catalogs, compile them for SpiceDB, plan and apply them."""

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from difflib import unified_diff
from pathlib import Path
from typing import Annotated, Literal

import typer
from sqlalchemy.exc import SQLAlchemyError

from teamaccess.audit.plans.catalog_impact import CatalogImpact, plan_everywhere
from teamaccess.catalog import (
    InvalidCatalog,
    Mistake,
    UnknownCatalog,
    bundled_catalogs,
    find_catalog_file,
    load_catalog,
)
from teamaccess.cli.commands.plan import CHANGES, AsMarkdown, exit_code, show
from teamaccess.cli.with_service import AsJson, operator_attribution, print_result, with_service
from teamaccess.common import logs, process
from teamaccess.common.errors import Conflict, Unavailable
from teamaccess.common.postgres.connect import sqlstate
from teamaccess.common.progress import Meter
from teamaccess.directory.organizations.find import list_organizations
from teamaccess.directory.roles.ids import refuse_taken
from teamaccess.directory.schemas.apply import apply_schema
from teamaccess.service import Service
from teamaccess.storage import OrganizationId
from teamaccess.upkeep.datastore import VARIABLE, datastore_problems
from teamaccess.views.plans import PlanView

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Validate catalogs, compile them for SpiceDB, plan and apply them.",
)

CatalogOption = Annotated[
    list[str] | None,
    typer.Option("--catalog", help="A name or a path. The default is all built-in catalogs."),
]
CatalogPaths = Annotated[
    list[str] | None,
    typer.Argument(metavar="PATH", help="Names or paths. The default is all built-in catalogs."),
]
SUMMARY = "{catalog} instead of {instead_of}: {affected} of {organizations} organizations affected."
MOST_ORGANIZATIONS = 1_000_000
"""How many organizations one run plans at most."""
Check = Annotated[
    bool, typer.Option("--check", help="Write nothing, and fail if a schema is not current.")
]


class NotAllPlanned(Conflict):
    """Some organizations could not be compared with the new schema, so the plan is incomplete."""

    message = (
        "These organizations could not be compared: {organizations}. Repeat the plan for them."
    )


class DatastoreUnreachable(Unavailable):
    """The database behind SpiceDB does not answer this command."""

    message = (
        f"SpiceDB's database does not answer ({{cause}}). Check that it runs, and check {VARIABLE}."
    )


class DatastoreRefuses(DatastoreUnreachable):
    """The database behind SpiceDB answers with an error, such as a wrong password."""

    code = "datastore_unreachable"
    message = (
        "SpiceDB's database answers with an error ({cause}). Correct what it names, or "
        + VARIABLE
        + "."
    )


@dataclass
class ApplyOutcome:
    """The outcome for one catalog."""

    catalog: str
    version: str | None = None
    mistakes: list[Mistake] = field(default_factory=list)
    mistakes_left_out: int = 0
    schema: str | None = None
    status: Literal["valid", "invalid", "current", "written", "stale"] = "valid"
    diff: str = ""

    def __str__(self) -> str:
        if self.mistakes:
            lines = [f"{self.catalog}:{m.line}: {m.message}" for m in self.mistakes]
            rest = self.mistakes_left_out
            return "\n".join([*lines, f"{self.catalog}: and {rest} more"] if rest else lines)
        return f"{self.diff}{self.schema or self.catalog}: {self.status} ({self.version})"


@app.command("compile")
def compile_catalogs(
    catalog: CatalogOption = None, check: Check = False, as_json: AsJson = False
) -> None:
    """Write the SpiceDB schema of each catalog, into the folder above `catalogs`."""
    _print_outcomes([_compiled(path, check) for path in _paths(catalog)], as_json)


@app.command("validate")
def validate_catalogs(paths: CatalogPaths = None, as_json: AsJson = False) -> None:
    """List every mistake of each catalog, by line."""
    _print_outcomes([_validated(path)[0] for path in _paths(paths)], as_json)


@app.command("apply")
def apply_catalog(as_json: AsJson = False) -> None:
    """Write the schema of the deployment's catalog to SpiceDB, and record when it came into force.

    Nothing changes if SpiceDB has the schema already. SpiceDB refuses a schema that has no place for
    existing relationships. A catalog is refused if one of its roles has the id of a custom role.
    """

    async def apply(service: Service) -> list[str]:
        return await apply_schema(
            service.ledger, service.engine, service.catalog, operator_attribution()
        )

    differences = with_service(apply)
    print_result(as_json, "The schema is in force.", differences=differences)


@app.command("datastore")
def check_datastore(as_json: AsJson = False) -> None:
    """Check the PostgreSQL database behind SpiceDB, whose address is in SPICEDB_DATASTORE_CONN_URI.

    It needs an index, a collation and a setting that SpiceDB's own migrations do not create. Nothing is
    changed. Exits with 0 if all is there, and with 1 and the remedy if something is missing.
    """
    logs.log_to_stderr()
    try:
        problems = process.run_to_end(datastore_problems(os.environ.get(VARIABLE)))
    except (ConnectionError, SQLAlchemyError) as cause:
        driver_error = getattr(cause, "orig", cause)
        if sqlstate(cause) is not None:
            raise DatastoreRefuses(cause=driver_error) from cause
        raise DatastoreUnreachable(cause=driver_error) from cause
    good = "SpiceDB's database has everything."
    print_result(as_json, "\n".join(problems) or good, problems=problems)
    raise typer.Exit(1 if problems else 0)


@app.command("plan")
def plan_catalog(
    catalog: Annotated[
        str | None,
        typer.Argument(help="A name or a path. The default is the deployment's catalog."),
    ] = None,
    organization: Annotated[
        list[str] | None, typer.Option(help="Only this one. The default is all organizations.")
    ] = None,
    as_markdown: AsMarkdown = False,
    as_json: AsJson = False,
) -> None:
    """Show who would gain and lose which action under another catalog. Nothing is written.

    The catalog is compared with the one that was applied last. Only organizations with affected people
    are shown, and pending invitations and access requests whose role or action the catalog removes. With
    --json, the last line names the two catalogs, these invitations and these requests.

    Exits with 0 if nobody is affected, with 1 if somebody or something pending is affected or the catalog
    has no place for existing relationships, and with 2 if an organization could not be planned or
    the id of a role is taken.
    """

    async def work(service: Service) -> tuple[CatalogImpact, dict[str, object]]:
        planned = load_catalog(catalog) if catalog is not None else service.catalog
        async with service.reads() as session:
            await refuse_taken(session, planned)
            existing = await list_organizations(session, None, None, MOST_ORGANIZATIONS)
        ids = [OrganizationId(each) for each in organization or [each.id for each in existing]]
        with Meter("Planning", "organizations", len(ids)) as meter:
            found = await plan_everywhere(
                service.audit.sources, service.ledger, planned, ids, lambda: meter.step(1)
            )
        return found, {
            "catalog": planned.version,
            "instead_of": found.instead_of,
            "organizations": len(ids),
            "affected": len(found.affected),
            "offers": [asdict(offer) for offer in found.offers],
        }

    found, compared = with_service(work)
    plans = list(map(PlanView.of, found.affected))
    show(plans, as_markdown=as_markdown, as_json=as_json)
    summary = [*map(str, found.offers), SUMMARY.format(**compared)]
    print_result(as_json, "\n".join(summary), **compared)
    if found.left_out:
        raise NotAllPlanned(organizations=found.left_out)
    raise typer.Exit(CHANGES if found.offers else exit_code(plans))


def _paths(names: list[str] | None) -> Iterator[Path]:
    try:
        yield from [find_catalog_file(name) for name in names or bundled_catalogs()]
    except UnknownCatalog as unknown:
        raise typer.BadParameter(str(unknown)) from unknown


def _validated(path: Path) -> tuple[ApplyOutcome, str]:
    """Return the outcome with the schema, which is empty for an invalid catalog."""
    try:
        catalog = load_catalog(path)
    except UnknownCatalog as unknown:
        raise typer.BadParameter(str(unknown)) from unknown
    except InvalidCatalog as invalid:
        name, left_out = _short_path(path), invalid.left_out
        return ApplyOutcome(name, None, invalid.mistakes, left_out, status="invalid"), ""
    return ApplyOutcome(_short_path(path), version=catalog.version), catalog.schema()


def _compiled(path: Path, check: bool) -> ApplyOutcome:
    outcome, schema = _validated(path)
    if outcome.mistakes:
        return outcome
    target = schema_file(path)
    before = target.read_text(encoding="utf-8") if target.exists() else ""
    outcome.schema, outcome.status = _short_path(target), "current"
    if schema != before and check:
        outcome.status, outcome.diff = "stale", _diff(before, schema, outcome.schema)
    elif schema != before:
        outcome.status = "written"
        target.write_text(schema, encoding="utf-8")
    return outcome


def schema_file(catalog: Path) -> Path:
    """Return the path of the schema of a catalog file."""
    folder = catalog.parent.parent if catalog.parent.name == "catalogs" else catalog.parent
    return folder / f"{catalog.stem}.zed"


def _diff(before: str, after: str, name: str) -> str:
    lines = unified_diff(
        before.splitlines(keepends=True),
        after.splitlines(keepends=True),
        name,
        f"{name} (compiled)",
    )
    return "".join(lines)


def _short_path(path: Path) -> str:
    """Return the path relative to the current folder if it is inside it, else the absolute path."""
    path = path.absolute()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _print_outcomes(outcomes: list[ApplyOutcome], as_json: bool) -> None:
    print_result(
        as_json,
        "\n".join(map(str, outcomes)),
        catalogs=[asdict(outcome) for outcome in outcomes],
    )
    if any(outcome.status in ("invalid", "stale") for outcome in outcomes):
        raise typer.Exit(1)
