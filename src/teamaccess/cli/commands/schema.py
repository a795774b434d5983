"""`teamaccess schema`: catalogs checked, and compiled to what SpiceDB enforces."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from difflib import unified_diff
from pathlib import Path
from typing import Annotated, Literal

import typer

from teamaccess.audit.plans.catalog_impact import CatalogImpact, plan_everywhere
from teamaccess.catalog import (
    InvalidCatalog,
    Mistake,
    UnknownCatalog,
    bundled_catalogs,
    find_catalog_file,
    load_catalog,
)
from teamaccess.cli.commands.plan import AsMarkdown, exit_code, show
from teamaccess.cli.connected import AsJson, connected, operator, tell
from teamaccess.common.errors import Conflict
from teamaccess.common.progress import Meter
from teamaccess.directory.organizations.find import list_organizations
from teamaccess.directory.roles.ids import refuse_taken
from teamaccess.directory.schemas.apply import apply_schema
from teamaccess.service import Service
from teamaccess.storage import OrganizationId
from teamaccess.views.plans import PlanView

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Check catalogs and compile them for SpiceDB."
)

Named = Annotated[
    list[str] | None, typer.Option("--catalog", help="A name or a path; all of ours if not given.")
]
Files = Annotated[
    list[str] | None, typer.Argument(metavar="PATH", help="All of our catalogs if not given.")
]
COMPARED = (
    "{catalog} instead of {instead_of}: {affected} of {organizations} organizations affected."
)
MOST = 1_000_000
"""Organizations that are asked about in one run."""
Check = Annotated[bool, typer.Option("--check", help="Write nothing; fail where it would.")]


class NotAllPlanned(Conflict):
    """Some organizations could not be compared with the new schema, so the plan is incomplete."""

    message = (
        "These organizations could not be compared: {organizations}. Repeat the plan for them."
    )


@dataclass
class ApplyOutcome:
    """What became of one catalog."""

    catalog: str
    version: str | None = None
    mistakes: list[Mistake] = field(default_factory=list)
    mistakes_left_out: int = 0
    schema: str | None = None
    status: Literal["valid", "invalid", "current", "written", "stale"] = "valid"
    diff: str = ""

    def __str__(self) -> str:
        if self.mistakes:
            told = [f"{self.catalog}:{m.line}: {m.message}" for m in self.mistakes]
            rest = self.mistakes_left_out
            return "\n".join([*told, f"{self.catalog}: and {rest} more"] if rest else told)
        return f"{self.diff}{self.schema or self.catalog}: {self.status} ({self.version})"


@app.command("compile")
def compile_catalogs(catalog: Named = None, check: Check = False, as_json: AsJson = False) -> None:
    """Write the SpiceDB schema of each catalog, in the folder above its catalogs."""
    _tell([_compiled(path, check) for path in _paths(catalog)], as_json)


@app.command("validate")
def validate_catalogs(paths: Files = None, as_json: AsJson = False) -> None:
    """List everything that is wrong with each catalog, by line."""
    _tell([_validated(path)[0] for path in _paths(paths)], as_json)


@app.command("apply")
def apply_catalog(as_json: AsJson = False) -> None:
    """Give SpiceDB the schema of the deployment's catalog, and keep from when on it is in force.

    Does nothing where it has it. SpiceDB itself refuses a schema that would orphan relationships, and one
    that gives an organization's own role's id to a role of everybody's is refused before.
    """

    async def apply(service: Service) -> list[str]:
        return await apply_schema(service.ledger, service.engine, service.catalog, operator())

    differences = connected(apply)
    tell(as_json, "The schema is in force.", differences=differences)


@app.command("plan")
def plan_catalog(
    catalog: Annotated[
        str | None,
        typer.Argument(help="The name or the path of a catalog; the deployment's if not given."),
    ] = None,
    organization: Annotated[
        list[str] | None, typer.Option(help="Only these; all of them if not given.")
    ] = None,
    as_markdown: AsMarkdown = False,
    as_json: AsJson = False,
) -> None:
    """Say who would gain and who would lose which action under another catalog. Nothing is written.

    Compared with what was applied last. Tells of the organizations where somebody is affected. Exits
    with 0 if nobody is, with 1 if somebody is or something has no place in it, and with 2 when one could
    not be asked, or a role's id is taken. With --json the last line says what was compared.
    """

    async def work(service: Service) -> tuple[CatalogImpact, dict[str, object]]:
        then = load_catalog(catalog) if catalog is not None else service.catalog
        async with service.reads() as session:
            await refuse_taken(session, then)
            known = await list_organizations(session, None, None, MOST)
        wanted = [OrganizationId(each) for each in organization or [each.id for each in known]]
        with Meter("Planning", "organizations", len(wanted)) as meter:
            found = await plan_everywhere(
                service.audit.sources, service.ledger, then, wanted, lambda: meter.step(1)
            )
        return found, {
            "catalog": then.version,
            "instead_of": found.instead_of,
            "organizations": len(wanted),
            "affected": len(found.affected),
        }

    found, compared = connected(work)
    plans = list(map(PlanView.of, found.affected))
    show(plans, as_markdown=as_markdown, as_json=as_json)
    tell(as_json, COMPARED.format(**compared), **compared)
    if found.left_out:
        raise NotAllPlanned(organizations=found.left_out)
    raise typer.Exit(exit_code(plans))


def _paths(names: list[str] | None) -> Iterator[Path]:
    try:
        yield from [find_catalog_file(name) for name in names or bundled_catalogs()]
    except UnknownCatalog as unknown:
        raise typer.BadParameter(str(unknown)) from unknown


def _validated(path: Path) -> tuple[ApplyOutcome, str]:
    """Return the outcome and, of a valid catalog, the schema."""
    try:
        catalog = load_catalog(path)
    except UnknownCatalog as unknown:
        raise typer.BadParameter(str(unknown)) from unknown
    except InvalidCatalog as invalid:
        shown, more = _shown(path), invalid.left_out
        return ApplyOutcome(shown, None, invalid.mistakes, more, status="invalid"), ""
    return ApplyOutcome(_shown(path), version=catalog.version), catalog.schema()


def _compiled(path: Path, check: bool) -> ApplyOutcome:
    outcome, schema = _validated(path)
    if outcome.mistakes:
        return outcome
    target = schema_file(path)
    before = target.read_text(encoding="utf-8") if target.exists() else ""
    outcome.schema, outcome.status = _shown(target), "current"
    if schema != before and check:
        outcome.status, outcome.diff = "stale", _diff(before, schema, outcome.schema)
    elif schema != before:
        outcome.status = "written"
        target.write_text(schema, encoding="utf-8")
    return outcome


def schema_file(catalog: Path) -> Path:
    """Return where the schema of a catalog file belongs."""
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


def _shown(path: Path) -> str:
    """Return the path as short as it can be written from here."""
    path = path.absolute()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _tell(outcomes: list[ApplyOutcome], as_json: bool) -> None:
    tell(
        as_json,
        "\n".join(map(str, outcomes)),
        catalogs=[asdict(outcome) for outcome in outcomes],
    )
    if any(outcome.status in ("invalid", "stale") for outcome in outcomes):
        raise typer.Exit(1)
