"""`teamaccess reconcile`: compare SpiceDB with the rows, repair differences, or rebuild SpiceDB."""

from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated, Any

import typer

from teamaccess.cli.terminal import echo
from teamaccess.cli.with_service import AsJson, operator_attribution, print_result, with_service
from teamaccess.common.errors import Invalid
from teamaccess.common.progress import Meter
from teamaccess.common.sentences.plurals import pluralize
from teamaccess.ledger import OtherHistory
from teamaccess.service import Service
from teamaccess.storage import OrganizationId
from teamaccess.upkeep import Rebuilder, RebuildResult
from teamaccess.upkeep.reconciliation import (
    DEFAULT_MOST_DELETES,
    DeleteBudget,
    Inspector,
    ReconcileResult,
)


class OneOrTheOther(Invalid):
    """`--apply` and `--rebuild` are given together; they exclude each other."""

    message = (
        "Choose either --apply, which repairs single differences, or --rebuild, which replaces "
        "all relationships of an organization."
    )


app = typer.Typer(add_completion=False)

DRIFT, NOT_COMPARED = 1, 2
OTHER_HISTORY = OtherHistory(organization="").code


@app.command()
def reconcile(
    organization: Annotated[str | None, typer.Option(help="Only this organization.")] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Repair the differences.")] = False,
    max_deletes: Annotated[
        int, typer.Option(min=0, help="How much --apply may delete from SpiceDB, in all.")
    ] = DEFAULT_MOST_DELETES,
    rebuild: Annotated[
        bool,
        typer.Option("--rebuild", help="Fill a SpiceDB that is empty, restored or replaced."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the relationships of the rows with the relationships in SpiceDB.

    Exits with 0 if nothing differs or everything was repaired, with 1 if something differs, and with 2 if
    something could not be compared or rebuilt.
    """
    if rebuild:
        if apply:
            raise OneOrTheOther
        _rebuild(organization, as_json)
        return
    budget = DeleteBudget(max_deletes) if apply else None

    async def look(service: Service) -> list[ReconcileResult]:
        inspector = Inspector(
            service.ledger, service.engine, service.catalog, operator_attribution(), budget
        )
        results = []
        with Meter("Comparing", "relationships") as meter:
            async for result in _results(inspector, organization, meter):
                results.append(result)
                if not as_json:
                    _print(result)
        return results

    results = with_service(look)
    print_result(as_json, _summary(results), **_facts(results))
    if any(each.problem not in (None, OTHER_HISTORY) and not each.found for each in results):
        raise typer.Exit(NOT_COMPARED)
    if any(each.left or each.problem for each in results):
        raise typer.Exit(DRIFT)


def _rebuild(organization: str | None, as_json: bool) -> None:
    async def fill(service: Service) -> RebuildResult:
        rebuilder = Rebuilder(
            service.ledger, service.engine, service.catalog, operator_attribution()
        )
        await rebuilder.ensure_schema()
        with Meter("Rebuilding", "relationships") as meter:
            if organization is None:
                return await rebuilder.rebuild_all(meter.step)
            return await rebuilder.rebuild([OrganizationId(organization)], meter.step)

    rebuilt = with_service(fill)
    print_result(
        as_json,
        f"{pluralize(len(rebuilt.organizations), 'organization')} rebuilt, "
        f"{pluralize(rebuilt.relationships, 'relationship')} written.{_remaining(rebuilt)}",
        **asdict(rebuilt),
    )
    if rebuilt.busy or rebuilt.disagreeing:
        raise typer.Exit(NOT_COMPARED)


def _remaining(rebuilt: RebuildResult) -> str:
    lines = [
        f"\n{id} is not rebuilt, because its rows differ from its ledger: {', '.join(differences)}."
        for id, differences in rebuilt.disagreeing.items()
    ]
    if rebuilt.busy:
        busy = ", ".join(rebuilt.busy)
        lines.append(f"\nRun it again for organizations that were being changed: {busy}")
    return "".join(lines) or " Next: teamaccess reconcile"


async def _results(
    inspector: Inspector, organization: str | None, meter: Meter
) -> AsyncIterator[ReconcileResult]:
    if organization is None:
        async for result in inspector.reconcile_all(meter.step):
            yield result
        return
    result = await inspector.reconcile_tenant(organization)
    meter.step(result.compared)
    if result.found or result.problem:
        yield result


def _print(result: ReconcileResult) -> None:
    name = result.organization if result.known else f"{result.organization} (unknown)"
    counts = ", ".join(f"{count} {kind}" for kind, count in result.counts.items())
    echo(f"{name}: {counts or result.problem}{_outcome(result)}")
    for kind, texts in result.differences.items():
        for text in texts:
            echo(f"  {kind}  {_line(text)}")
    if result.detail:
        echo(f"  {result.detail}")


def _outcome(result: ReconcileResult) -> str:
    if not result.mended:
        return ""
    outcome = "repaired" if not result.left else f"{result.mended} of {result.found} repaired"
    return f"; {outcome}{', not confirmed by SpiceDB yet' if result.pending else ''}"


def _line(text: Any) -> str:
    return text if isinstance(text, str) else f"{text['held']}  instead of  {text['meant']}"


def _summary(results: list[ReconcileResult]) -> str:
    if not results:
        return "SpiceDB holds exactly the relationships of the rows."
    found, mended, needed = (
        sum(getattr(each, name) for each in results) for name in ("found", "mended", "needed")
    )
    where = pluralize(len(results), "organization")
    counts = f"{pluralize(found, 'difference')} in {where}; {mended} repaired."
    return f"{counts}\nTo repair the rest, use --max-deletes {needed}." if needed else counts


def _facts(results: list[ReconcileResult]) -> dict[str, Any]:
    return {
        "differences": sum(each.found for each in results),
        "mended": sum(each.mended for each in results),
        "organizations": [{**asdict(each), "left": each.left} for each in results],
    }
