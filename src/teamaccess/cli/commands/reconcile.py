"""`teamaccess reconcile`: whether SpiceDB holds what the rows stand for, and how it does so again."""

from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated, Any

import typer

from teamaccess.cli.connected import AsJson, connected, operator, tell
from teamaccess.cli.terminal import echo
from teamaccess.common.errors import Invalid
from teamaccess.common.progress import Meter
from teamaccess.common.text import pluralize
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

DRIFT, NOT_ASKED = 1, 2
OTHER_HISTORY = OtherHistory(organization="").code


@app.command()
def reconcile(
    organization: Annotated[str | None, typer.Option(help="Look at this one alone.")] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Mend what differs.")] = False,
    max_deletes: Annotated[
        int, typer.Option(min=0, help="How much --apply may delete from SpiceDB, in all.")
    ] = DEFAULT_MOST_DELETES,
    rebuild: Annotated[
        bool,
        typer.Option("--rebuild", help="Fill a SpiceDB that is empty, restored or another one."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare what the rows stand for with what SpiceDB holds.

    Exits with 0 where nothing differs (any more), with 1 where something does, and with 2 where
    something could not be compared, or rebuilt.
    """
    if rebuild:
        if apply:
            raise OneOrTheOther
        _rebuild(organization, as_json)
        return
    budget = DeleteBudget(max_deletes) if apply else None

    async def look(service: Service) -> list[ReconcileResult]:
        inspector = Inspector(service.ledger, service.engine, service.catalog, operator(), budget)
        results = []
        with Meter("Comparing", "relationships") as meter:
            async for result in _results(inspector, organization, meter):
                results.append(result)
                if not as_json:
                    _print(result)
        return results

    results = connected(look)
    tell(as_json, _summed_up(results), **_facts(results))
    if any(each.problem not in (None, OTHER_HISTORY) and not each.found for each in results):
        raise typer.Exit(NOT_ASKED)
    if any(each.left or each.problem for each in results):
        raise typer.Exit(DRIFT)


def _rebuild(organization: str | None, as_json: bool) -> None:
    async def fill(service: Service) -> RebuildResult:
        rebuilder = Rebuilder(service.ledger, service.engine, service.catalog, operator())
        await rebuilder.ensure_schema()
        with Meter("Rebuilding", "relationships") as meter:
            if organization is None:
                return await rebuilder.rebuild_all(meter.step)
            return await rebuilder.rebuild([OrganizationId(organization)], meter.step)

    rebuilt = connected(fill)
    tell(
        as_json,
        f"{pluralize(len(rebuilt.organizations), 'organization')} rebuilt, "
        f"{pluralize(rebuilt.relationships, 'relationship')} written.{_left(rebuilt)}",
        **asdict(rebuilt),
    )
    if rebuilt.busy or rebuilt.disagreeing:
        raise typer.Exit(NOT_ASKED)


def _left(rebuilt: RebuildResult) -> str:
    told = [
        f"\n{id} is not rebuilt, its rows are not what its ledger led to: {', '.join(differences)}."
        for id, differences in rebuilt.disagreeing.items()
    ]
    if rebuilt.busy:
        told.append(f"\nRun it again for those that were being changed: {', '.join(rebuilt.busy)}")
    return "".join(told) or " Next: teamaccess reconcile"


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
    who = result.organization if result.known else f"{result.organization} (unknown)"
    counts = ", ".join(f"{count} {kind}" for kind, count in result.counts.items())
    echo(f"{who}: {counts or result.problem}{_outcome(result)}")
    for kind, texts in result.differences.items():
        for text in texts:
            echo(f"  {kind}  {_line(text)}")
    if result.detail:
        echo(f"  {result.detail}")


def _outcome(result: ReconcileResult) -> str:
    if not result.mended:
        return ""
    outcome = "mended" if not result.left else f"{result.mended} of {result.found} mended"
    return f"; {outcome}{', not confirmed by SpiceDB yet' if result.pending else ''}"


def _line(text: Any) -> str:
    return text if isinstance(text, str) else f"{text['held']}  instead of  {text['meant']}"


def _summed_up(results: list[ReconcileResult]) -> str:
    if not results:
        return "SpiceDB holds what the rows stand for, and nothing else."
    found, mended, needed = (
        sum(getattr(each, name) for each in results) for name in ("found", "mended", "needed")
    )
    where = pluralize(len(results), "organization")
    told = f"{pluralize(found, 'difference')} in {where}; {mended} mended."
    return f"{told}\nMending the rest takes --max-deletes {needed}." if needed else told


def _facts(results: list[ReconcileResult]) -> dict[str, Any]:
    return {
        "differences": sum(each.found for each in results),
        "mended": sum(each.mended for each in results),
        "organizations": [{**asdict(each), "left": each.left} for each in results],
    }
